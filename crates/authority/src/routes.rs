//! The HTTP service: one file per resource, one router, and the OpenAPI document made from it.

mod agents;
mod approvals;
mod carried;
mod downstreams;
mod evaluation;
mod feed;
mod guard;
mod leases;
mod ledger;
mod management;
mod oauth;
mod policies;
mod reads;
mod registry;
mod reply;
mod reported;
mod request;
mod revocations;
mod tasks;
mod trace;
mod wellknown;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::get;
use bailiwick_api::enforcement::downstreams::DOWNSTREAMS_BYTES_MAX;
use bailiwick_api::enforcement::reads::READS_BYTES_MAX;
use bailiwick_api::enforcement::receipts::RECEIPTS_BYTES_MAX;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::authority::Authority;

/// Bytes of a policy set as it is put: larger than any other request.
const POLICY_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) use guard::Guarded;
pub(crate) use management::router as management_router;

/// The public service and its description.
fn described() -> (Router<Arc<Authority>>, OpenApi) {
    let (router, api) = OpenApiRouter::with_openapi(bailiwick_api::openapi_base())
        .routes(routes!(wellknown::metadata))
        .routes(routes!(wellknown::jwks))
        .routes(routes!(wellknown::authzen))
        .routes(routes!(wellknown::status_list))
        .routes(routes!(wellknown::status_list_keys))
        .routes(routes!(oauth::token))
        .routes(routes!(oauth::introspect))
        .routes(routes!(oauth::revoke))
        .routes(routes!(tasks::open, tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::closure))
        .routes(routes!(feed::feed))
        .routes(routes!(feed::acknowledge))
        .routes(routes!(feed::points))
        .routes(routes!(feed::policies))
        .routes(routes!(feed::task))
        .routes(routes!(tasks::complete))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::revoke))
        .routes(routes!(approvals::ask, approvals::list))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::refuse))
        .routes(routes!(approvals::use_up))
        .routes(routes!(revocations::create))
        .routes(routes!(trace::show))
        .routes(routes!(evaluation::one))
        .routes(routes!(evaluation::many))
        .routes(routes!(reported::create).layer(DefaultBodyLimit::max(RECEIPTS_BYTES_MAX)))
        .routes(routes!(reads::create, reads::list).layer(DefaultBodyLimit::max(READS_BYTES_MAX)))
        .routes(routes!(reads::expose))
        .routes(routes!(downstreams::declare).layer(DefaultBodyLimit::max(DOWNSTREAMS_BYTES_MAX)))
        .routes(routes!(downstreams::gap))
        .routes(routes!(leases::create))
        .routes(routes!(leases::take))
        .routes(routes!(registry::apply))
        .routes(routes!(registry::owners))
        .routes(routes!(registry::workflows))
        .routes(routes!(registry::workflow))
        .routes(routes!(agents::list))
        .routes(routes!(agents::show))
        .routes(routes!(agents::keys))
        .routes(routes!(agents::quarantine))
        .routes(routes!(agents::reinstate))
        .routes(routes!(agents::bind_key))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(policies::show, policies::put))
                .layer(DefaultBodyLimit::max(POLICY_BYTES_MAX)),
        )
        .routes(routes!(ledger::receipt))
        .routes(routes!(ledger::rotate_keys))
        .routes(routes!(ledger::checkpoint))
        .routes(routes!(ledger::vkey))
        .routes(routes!(ledger::openings))
        .split_for_parts();
    let router = router.route("/ledger/{*path}", get(ledger::tile));
    (router, api)
}

/// The OpenAPI 3.1 document of the public service.
pub fn openapi() -> OpenApi {
    described().1
}

/// The public service.
pub(crate) fn service(authority: &Arc<Authority>) -> Guarded {
    let (router, api) = described();
    let document = Bytes::from(serde_json::to_vec(&api).unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let router = router
        .route("/openapi.json", get(move || async move { (json, document) }))
        .route("/problems/{code}", get(wellknown::problem))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .with_state(authority.clone());
    let router = match &authority.dev {
        Some(domain) => router.merge(crate::dev::router(domain.clone(), authority.clock.clone())),
        None => router,
    };
    Guarded::new(authority.clone(), router)
}
