//! The steps of a settle, each measured alone: CPU time of one thread that does nothing else.

use super::BenchArgs;
use super::cpu;
use super::load;
use super::report::{Primitives, Step};
use super::server::Target;
use super::world::World;
use crate::clock;
use crate::fault::Fault;
use bailiwick_authority::model::Effect;
use bailiwick_authority::store::{SqliteOptions, SqliteStore, StoreHandle};
use bailiwick_core::crypto::{Algorithm, SigningKey};
use bailiwick_core::{UnverifiedToken, narrow, verify_grant};
use bailiwick_identity::{NonceRule, ProofExpectation, verify_proof};
use bailiwick_ledger::{Journal as _, Receipt, ReceiptKind};
use bailiwick_policy::{PolicySet, replay};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

const EXCHANGES: usize = 10_000;
const EXCHANGE_CALLERS: u32 = 16;
const APPENDS: u32 = 8_000;
const APPENDERS: u32 = 64;
/// The size of a settle's receipt.
const PAYLOAD_BYTES: usize = 2_000;
/// CPU time that one step is repeated for.
const REPEATED_FOR: Duration = Duration::from_millis(400);

/// CPU time that the server spends on one HTTP exchange that does next to nothing.
pub(super) async fn http_exchange(address: &str, target: &Target) -> Result<Option<f64>, Fault> {
    let request = format!("GET /ledger/vkey HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let requests = vec![request.into_bytes(); EXCHANGES];
    let before = target.cpu().server;
    load::run(address, requests, EXCHANGE_CALLERS).await?;
    let spent =
        target.cpu().server.zip(before).and_then(|(after, before)| after.checked_sub(before));
    Ok(spent.map(|spent| spent.as_secs_f64() * 1e6 / 10_000.0))
}

/// Measures every step. `exchange` is what [`http_exchange`] found.
pub(super) async fn measure(
    world: &World,
    args: &BenchArgs,
    exchange: Option<f64>,
) -> Result<Primitives, Fault> {
    let append = append(&args.data).await?;
    let step = |name, cpu_us, counted| Step { name, cpu_us, counted };
    let mut steps = crypto_steps(world)?;
    steps.push(step("decide among the loaded policies", decide(world)?, true));
    steps.push(step("append a receipt, durable, 64 at once", append, true));
    if let Some(exchange) = exchange {
        steps.push(step("HTTP exchange that does nothing, server side", exchange, true));
    }
    Ok(Primitives::new(steps))
}

fn crypto_steps(world: &World) -> Result<Vec<Step>, Fault> {
    let parent = world.parents.first().ok_or_else(|| Fault::local("no task is open"))?;
    let grant = world.grant(parent)?;
    let grant = UnverifiedToken::parse(&grant).map_err(|error| Fault::local(error.to_string()))?;
    let now = clock::now();
    let verify = || verify_grant(&grant, parent, &[], now).is_ok();
    let proof = world.proof()?;
    let expect = ProofExpectation {
        method: "POST",
        url: &world.endpoint,
        access_token_hash: None,
        nonce: NonceRule::NotRequired,
    };
    let prove = || verify_proof(&proof, &expect, now).is_ok();
    if !verify() || !prove() {
        return Err(Fault::local("the bench's own grant or proof does not verify"));
    }
    let failed = |error| Fault::local(format!("a key: {error}"));
    let es256 = SigningKey::generate(Algorithm::Es256).map_err(failed)?;
    let ed25519 = SigningKey::generate(Algorithm::EdDsa).map_err(failed)?;
    let message = vec![7; 1_300];
    let bare = ed25519.sign(&message).map_err(failed)?;
    let public = ed25519.verifying_key();
    let held = &parent.claims().authority;
    let step = |name, cpu_us, counted| Step { name, cpu_us, counted };
    Ok(vec![
        step("verify the grant (Ed25519) and its place in the chain", repeat(verify)?, true),
        step("verify the DPoP proof (Ed25519)", repeat(prove)?, true),
        step("narrow", repeat(|| narrow(held, held))?, true),
        step("sign the hop token (ES256)", repeat(|| es256.sign(&message))?, true),
        step("one bare Ed25519 verify", repeat(|| public.verify(&message, &bare))?, false),
    ])
}

fn decide(world: &World) -> Result<f64, Fault> {
    let set = PolicySet::load(&world.policies).map_err(|error| Fault::local(error.to_string()))?;
    if !replay(&set, &world.inputs).is_some_and(|verdict| verdict.allows()) {
        return Err(Fault::local("the recorded decision cannot be taken again"));
    }
    repeat(|| replay(&set, &world.inputs))
}

/// CPU microseconds of one call, over as many as fit the time.
fn repeat<T>(mut call: impl FnMut() -> T) -> Result<f64, Fault> {
    let read = || cpu::of_thread().ok_or_else(|| Fault::local("/proc has no schedstat"));
    let start = read()?;
    let wanted = u64::try_from(REPEATED_FOR.as_nanos()).unwrap_or(u64::MAX);
    let mut calls = 0_u32;
    loop {
        for _ in 0..100 {
            black_box(call());
        }
        calls = calls.saturating_add(100);
        let spent = read()?.saturating_sub(start);
        if spent >= wanted {
            return Ok(Duration::from_nanos(spent).as_secs_f64() * 1e6 / f64::from(calls));
        }
    }
}

/// CPU microseconds of one append to a store of its own on the same disk.
async fn append(base: &Path) -> Result<f64, Fault> {
    let directory = base.join(format!("bailiwick-bench-store-{}", std::process::id()));
    std::fs::create_dir(&directory)
        .map_err(|error| crate::secret::cannot("create", &directory, &error))?;
    let measured = append_in(&directory).await;
    // The figure is in hand; what cannot be removed is left for its owner to see.
    let _ = std::fs::remove_dir_all(&directory);
    measured
}

async fn append_in(directory: &Path) -> Result<f64, Fault> {
    let store = SqliteStore::open(directory, &SqliteOptions::default())
        .map_err(|error| Fault::local(format!("a store: {error}")))?;
    let store = StoreHandle::new(store);
    let process = || cpu::of_process(std::process::id());
    let before = process();
    let mut running: JoinSet<Result<(), Fault>> = JoinSet::new();
    for _ in 0..APPENDERS {
        let store = store.clone();
        running.spawn(async move {
            for _ in 0..APPENDS / APPENDERS {
                let receipt = Receipt {
                    kind: ReceiptKind::System,
                    time_ms: clock::now().0,
                    subject_ids: Vec::new(),
                    payload: format!("\"{}\"", "x".repeat(PAYLOAD_BYTES)).into_bytes(),
                };
                store
                    .append(receipt, Effect::None)
                    .await
                    .map_err(|error| Fault::local(format!("a store: {error}")))?;
            }
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done.map_err(|error| Fault::local(format!("an appender broke off: {error}")))??;
    }
    let spent = process().zip(before).and_then(|(after, before)| after.checked_sub(before));
    let spent = spent.ok_or_else(|| Fault::local("/proc has no stat"))?;
    Ok(spent.as_secs_f64() * 1e6 / f64::from(APPENDS))
}
