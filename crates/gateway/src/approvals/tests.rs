use bailiwick_api::client::CredentialError;
use bailiwick_api::{Problem, Timestamp, UsedApproval};
use bailiwick_core::scope::Scope;
use bailiwick_core::{ActionDigest, UnixMillis};
use bailiwick_policy::{Binding, CallEffect, ResourceFacts, Sensitivity};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::call::ToolFacts;
use crate::fixture::{NOW, chain, chain_of, claims};

/// An Authority that has approved some digests, for these needs, and remembers what it was asked.
#[derive(Default)]
struct Sim {
    approved: Mutex<Vec<(ActionDigest, Vec<String>)>>,
    asked: Mutex<Vec<AskApprovalRequest>>,
    problem: Mutex<Option<Outcome>>,
    away: Mutex<bool>,
}

impl Sim {
    fn fault(&self) -> Result<(), ClientError> {
        if *self.away.lock() {
            return Err(ClientError::Credential(CredentialError("the network is cut".to_owned())));
        }
        match *self.problem.lock() {
            Some(outcome) => Err(ClientError::Problem(Box::new(Problem::new(outcome, "told")))),
            None => Ok(()),
        }
    }
}

fn id(number: u8) -> ApprovalId {
    ApprovalId::new(NOW, [number; 10])
}

fn decision(number: u8) -> DecisionId {
    DecisionId::new(NOW, [number; 10])
}

impl Desk for Sim {
    fn ask<'a>(&'a self, ask: &'a AskApprovalRequest) -> Answer<'a, ApprovalStanding> {
        Box::pin(async move {
            self.fault()?;
            self.asked.lock().push(ask.clone());
            Ok(ApprovalStanding {
                approval_id: id(1),
                state: ApprovalState::Pending,
                digest: ask.call.digest,
                expires_at: Timestamp::from(UnixMillis(NOW.0 + 1)),
            })
        })
    }

    fn use_up<'a>(&'a self, ask: &'a UseApprovalRequest) -> Answer<'a, UseApprovalReply> {
        Box::pin(async move {
            self.fault()?;
            let mut approved = self.approved.lock();
            let at = approved.iter().position(|(digest, _)| *digest == ask.call.digest);
            let used = at.map(|at| approved.remove(at));
            Ok(UseApprovalReply {
                used: used.map(|(_, needs)| UsedApproval {
                    approval_id: id(1),
                    needs,
                    approvers: Vec::new(),
                }),
            })
        })
    }
}

fn call(arguments: Value) -> Call {
    Call {
        scope: "bank.pay".parse::<Scope>().unwrap(),
        resource: ResourceFacts {
            id: "payments".to_owned(),
            labels: Vec::new(),
            sensitivity: Sensitivity::Internal,
            system: "bank".to_owned(),
        },
        binding: Binding::Wrapped,
        arguments: arguments.as_object().unwrap().clone(),
        effect: CallEffect::Write,
        trust: None,
        tool: Some(ToolFacts { name: "pay".to_owned(), descriptor: Some("sha-256:x".to_owned()) }),
        needs: crate::call::Needs::default(),
    }
}

fn facts<'a>(chain: &'a VerifiedChain, call: &'a Call) -> ActionFacts<'a> {
    let obligations = vec![
        Obligation::Approval { by: "owner".to_owned() },
        Obligation::Notify { whom: "security".to_owned() },
    ];
    ActionFacts { chain, call, obligations, why: Some("recipient: not within".to_owned()) }
}

fn desk() -> (Arc<Sim>, Approvals) {
    let sim = Arc::new(Sim::default());
    (Arc::clone(&sim), Approvals::new(sim))
}

fn give(sim: &Sim, action: &ActionFacts<'_>, needs: &[&str]) {
    let needs = needs.iter().map(|need| (*need).to_owned()).collect();
    sim.approved.lock().push((action.described().unwrap().digest, needs));
}

#[tokio::test]
async fn a_call_that_nobody_approved_is_asked_about_once_and_told_so() {
    let (sim, approvals) = desk();
    let (chain, call) = (chain(1, &["bank.pay"]), call(json!({"to": "mallory", "amount": 1})));
    let action = facts(&chain, &call);
    assert_eq!(approvals.take(&action, decision(1)).await.unwrap(), None);
    let stop = approvals.ask(&action).await;
    assert_eq!(stop.code, Outcome::ApprovalRequired.into());
    assert_eq!(stop.extra["approval_id"], id(1).to_string());
    let asked = sim.asked.lock();
    let [asked] = asked.as_slice() else { panic!("one question, however much needs it") };
    assert_eq!(asked.call.needs, ["ask", "owner"]);
    assert_eq!(asked.call.arguments["to"], "mallory");
    assert_eq!(asked.call.jti, chain.claims().jti);
    assert_eq!(asked.why.len(), 2, "{:?}", asked.why);
}

#[tokio::test]
async fn what_was_approved_is_used_and_nothing_else() {
    let (sim, approvals) = desk();
    let (chain_one, chain_two) = (chain(1, &["bank.pay"]), chain(2, &["bank.pay"]));
    let (right, wrong) = (call(json!({"to": "bob"})), call(json!({"to": "mallory"})));
    let action = facts(&chain_one, &right);
    give(&sim, &action, &["ask", "owner"]);
    assert_eq!(approvals.take(&facts(&chain_one, &wrong), decision(1)).await.unwrap(), None);
    assert_eq!(approvals.take(&facts(&chain_two, &right), decision(1)).await.unwrap(), None);
    let approved = approvals.take(&action, decision(1)).await.unwrap();
    let by = vec!["ask".to_owned(), "owner".to_owned()];
    assert_eq!(approved, Some(Approved { id: id(1), by }));
    assert_eq!(approvals.take(&action, decision(2)).await.unwrap(), None, "it works once");
}

#[tokio::test]
async fn an_approval_of_less_is_none() {
    let (sim, approvals) = desk();
    let (chain, call) = (chain(1, &["bank.pay"]), call(json!({"to": "bob"})));
    let action = facts(&chain, &call);
    give(&sim, &action, &["ask"]);
    let stop = approvals.take(&action, decision(1)).await.unwrap_err();
    assert_eq!(stop.code, Outcome::ApprovalInvalid.into());
    give(&sim, &action, &["ask", "owner"]);
    assert!(approvals.take(&action, decision(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn while_the_authority_is_away_what_needs_an_approval_is_refused() {
    let (sim, approvals) = desk();
    let (chain, call) = (chain(1, &["bank.pay"]), call(json!({"to": "bob"})));
    let action = facts(&chain, &call);
    give(&sim, &action, &["ask", "owner"]);
    *sim.away.lock() = true;
    let stop = approvals.take(&action, decision(1)).await.unwrap_err();
    assert_eq!(stop.code, Outcome::LedgerUnavailable.into());
    assert_eq!(approvals.ask(&action).await.code, Outcome::LedgerUnavailable.into());
    *sim.away.lock() = false;
    assert!(approvals.take(&action, decision(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_refusal_by_a_person_is_told_as_one() {
    let (sim, approvals) = desk();
    let (chain, call) = (chain(1, &["bank.pay"]), call(json!({"to": "bob"})));
    let action = facts(&chain, &call);
    *sim.problem.lock() = Some(Outcome::ApprovalRefused);
    let stop = approvals.take(&action, decision(1)).await.unwrap_err();
    assert_eq!(stop.code, Outcome::ApprovalRefused.into());
    // A fault of the Authority is no refusal of a person.
    *sim.problem.lock() = Some(Outcome::PolicyUnavailable);
    let stop = approvals.take(&action, decision(1)).await.unwrap_err();
    assert_eq!(stop.code, Outcome::LedgerUnavailable.into());
}

#[tokio::test]
async fn a_hop_without_a_settled_grant_cannot_be_approved() {
    let (sim, approvals) = desk();
    let mut unsettled = claims(1, &["bank.pay"], json!([]));
    unsettled.del_depth = 1;
    unsettled.par_hash = Some(bailiwick_core::sha256(b"parent"));
    unsettled.hop.lineage = vec![bailiwick_core::TokenId::new(NOW, [9; 10])];
    let iss = unsettled.iss.clone();
    let first =
        bailiwick_core::Actor { iss, sub: "spiffe://dev.bailiwick.example/a".parse().unwrap() };
    unsettled.act.0.push(first);
    let call = call(json!({"to": "bob"}));
    let offline = chain_of(&unsettled);
    let stop = approvals.take(&facts(&offline, &call), decision(1)).await.unwrap_err();
    assert_eq!(stop.code, Outcome::OfflineHopForbidden.into());
    let settled = chain(1, &["bank.pay"]);
    assert_eq!(approvals.take(&facts(&settled, &call), decision(1)).await.unwrap(), None);
    assert!(sim.asked.lock().is_empty());
}
