//! A program that prints a secret: named by its full path, without a shell, bounded in time and
//! output. What it says on its standard error goes nowhere, since it may be the secret.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::secret::{ConnectorFault, SECRET_BYTES_MAX};

/// Variables that every command gets.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A program and how it is run.
pub(crate) struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<String>,
    timeout: Duration,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An argument may be something that only the operator should see.
        write!(f, "{} …", self.program)
    }
}

impl Command {
    pub(super) fn compile(
        argv: &[String],
        pass_env: &[String],
        timeout: Duration,
    ) -> Result<Self, String> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err("`command` names no program".to_owned());
        };
        if !Path::new(program).is_absolute() {
            return Err(format!("`command`: give the full path of `{program}`"));
        }
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err("`timeout_ms` is from 1 to 60000".to_owned());
        }
        let environment = ENVIRONMENT.iter().map(|name| (*name).to_owned());
        Ok(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            environment: environment.chain(pass_env.iter().cloned()).collect(),
            timeout,
        })
    }
}

/// What the program prints.
///
/// # Errors
/// It cannot be run, fails, takes too long or prints too much.
pub(super) async fn run(command: &Command) -> Result<Zeroizing<String>, ConnectorFault> {
    let told = |what: String| ConnectorFault(format!("{}: {what}", command.program));
    let mut prepared = tokio::process::Command::new(&command.program);
    prepared
        .args(&command.arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for name in &command.environment {
        if let Some(value) = std::env::var_os(name) {
            prepared.env(name, value);
        }
    }
    let mut child = prepared.spawn().map_err(|error| told(format!("cannot be run: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| told("has no output".to_owned()))?;
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut printed = Zeroizing::new(Vec::with_capacity(4096));
    let finished = async {
        output.take(limit).read_to_end(&mut printed).await?;
        if printed.len() > SECRET_BYTES_MAX {
            return Ok(None);
        }
        child.wait().await.map(Some)
    };
    let status = match tokio::time::timeout(command.timeout, finished).await {
        Ok(Ok(Some(status))) => status,
        Ok(Ok(None)) => return Err(told("prints more than a secret".to_owned())),
        Ok(Err(error)) => return Err(told(format!("cannot be read: {error}"))),
        Err(_) => {
            return Err(told(format!("did not end within {} ms", command.timeout.as_millis())));
        }
    };
    if !status.success() {
        return Err(told(format!("failed with {status}")));
    }
    let text = std::str::from_utf8(&printed).map_err(|_| told("prints no UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, pass: &[&str], timeout_ms: u64) -> Command {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let pass: Vec<String> = pass.iter().map(|name| (*name).to_owned()).collect();
        Command::compile(&argv, &pass, Duration::from_millis(timeout_ms)).unwrap()
    }

    #[tokio::test]
    async fn a_command_is_bounded_in_time_and_output() {
        let slow = run(&shell("echo hunter2; sleep 20", &[], 100)).await.unwrap_err().to_string();
        assert!(slow.contains("within 100 ms") && !slow.contains("hunter2"), "{slow}");
        let endless = run(&shell("yes hunter2", &[], 5_000)).await.unwrap_err().to_string();
        assert!(endless.contains("more than a secret"), "{endless}");
        let quick = run(&shell("echo hunter2", &[], 5_000)).await.unwrap();
        assert_eq!(quick.as_str(), "hunter2\n");
    }

    #[tokio::test]
    async fn a_command_gets_the_variables_that_are_named_and_no_others() {
        // Cargo sets this one for every test.
        let script = "echo \"${CARGO_MANIFEST_DIR:-none}\"";
        assert_eq!(run(&shell(script, &[], 5_000)).await.unwrap().as_str(), "none\n");
        let passed = run(&shell(script, &["CARGO_MANIFEST_DIR"], 5_000)).await.unwrap();
        assert!(passed.contains("gateway"));
    }

    #[test]
    fn a_program_is_named_by_its_full_path() {
        let compile = |argv: &[&str]| {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            Command::compile(&argv, &[], Duration::from_secs(1))
        };
        assert!(compile(&["vault", "read"]).is_err());
        assert!(compile(&[]).is_err());
        let shown = format!("{:?}", compile(&["/usr/bin/vault", "hunter2"]).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
