//! A proxy of the gateway's own libraries that checks nothing: what forwarding alone costs.

use crate::fault::Fault;
use clap::Args;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Where to listen and where to forward to.
#[derive(Debug, Args)]
pub(crate) struct PassThroughArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address to forward to
    #[arg(long, value_name = "ADDRESS")]
    upstream: SocketAddr,
}

pub(crate) async fn run(args: PassThroughArgs) -> Result<(), Fault> {
    let broken = |error: std::io::Error| Fault::local(error.to_string());
    let listener = TcpListener::bind(args.listen).await.map_err(broken)?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    loop {
        let (stream, _) = listener.accept().await.map_err(broken)?;
        let _ = stream.set_nodelay(true);
        let (client, upstream) = (client.clone(), args.upstream);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let client = client.clone();
                async move { forward(&client, upstream, request).await }
            });
            let builder = Builder::new(TokioExecutor::new());
            // A connection that breaks is the load generator's to notice.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type HttpClient = Client<hyper_util::client::legacy::connect::HttpConnector, Incoming>;
type BoxBody = http_body_util::combinators::BoxBody<bytes::Bytes, hyper::Error>;

async fn forward(
    client: &HttpClient,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody>, hyper_util::client::legacy::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(uri) = format!("http://{upstream}{path}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    let response = client.request(request).await?;
    Ok(response.map(|body| body.boxed()))
}
