//! Signatures, by which a receiver knows that a notification is ours and new.

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

/// `t=UNIX_SECONDS,v1=HEX`, where HEX is HMAC-SHA256 of `UNIX_SECONDS.BODY`.
pub(super) fn signature(secret: &SecretString, now: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut signing = hmac::Context::with_key(&key);
    signing.update(format!("{now}.").as_bytes());
    signing.update(body);
    format!("t={now},v1={}", hex::encode(signing.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_other_programs_compute() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = SecretString::from("0123456789abcdef");
        let expected = "t=1700000000,v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature(&secret, 1_700_000_000, b"{}"), expected);
        assert_ne!(signature(&secret, 1_700_000_001, b"{}")[13..], expected[13..]);
    }
}
