//! Chains: from presented text to a [`verify::VerifiedChain`], and the steps in between.

pub mod adc;
pub mod steps;
pub mod verify;
