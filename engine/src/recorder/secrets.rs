//! Credentials and entropy: the two things that must not be in a configuration.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use crate::failure::{Failure, FailureKind};
use crate::rpc::Credentials;

/// The exchange's key from the environment, or from the files that the environment names. Neither
/// is an error; half a key is.
pub(super) fn credentials() -> Result<Option<Credentials>, Failure> {
    match (secret("DERIBIT_CLIENT_ID")?, secret("DERIBIT_CLIENT_SECRET")?) {
        (Some(client_id), Some(client_secret)) => {
            Ok(Some(Credentials { client_id, client_secret }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(half("DERIBIT_CLIENT_SECRET")),
        (None, Some(_)) => Err(half("DERIBIT_CLIENT_ID")),
    }
}

/// What has to be shown to change something. None is no error; one that can be guessed is.
pub(super) fn control_token() -> Result<Option<String>, Failure> {
    let token = secret(TOKEN)?;
    if token.as_ref().is_some_and(|token| token.len() < TOKEN_BYTES_MIN) {
        let sentence = format!("{TOKEN} is at least {TOKEN_BYTES_MIN} characters");
        return Err(Failure::new(FailureKind::Usage, sentence));
    }
    Ok(token)
}

fn secret(name: &str) -> Result<Option<String>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = format!("{name}_FILE");
    match (set(name), set(&file)) {
        (Some(_), Some(_)) => {
            let sentence = format!("both {name} and {file} are set: set one of them");
            Err(Failure::new(FailureKind::Usage, sentence))
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(Path::new(&path)).map_err(|error| {
                let sentence = format!("cannot read {path}, which {file} names: {error}");
                Failure::new(FailureKind::Usage, sentence)
            })?;
            Ok(Some(text.trim().to_owned()))
        }
        (value, None) => Ok(value),
    }
}

fn half(missing: &str) -> Failure {
    let sentence = format!("{missing} is not set, but the other half of the key is");
    Failure::new(FailureKind::Usage, sentence)
}

/// 64 bits of the system's entropy, through the standard library's hash seed. Enough for masks,
/// handshake keys and jitter, none of which protects a secret.
pub(super) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

const TOKEN: &str = "TAPEDECK_CONTROL_TOKEN";
const TOKEN_BYTES_MIN: usize = 16;
