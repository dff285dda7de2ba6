//! What a message holds that must not be seen. Whoever sent or received it wipes that when it is done; the buffers that carry
//! messages are wiped after each.
//!
//! * Passwords and tickets; keys that come in, and values that go out, in clear; random bytes.
//! * What keys are used on, and what comes of it. Ciphertexts too: data are worked on in place, and in counter mode encrypting
//!   is decrypting. What a code authenticates may be as secret as what is encrypted, the code may be somebody's key, and a
//!   raw RSA signature is a decryption.

use strongroom_types::buffers::wipe_and_clear;

use crate::v1;
use crate::v1::request::Operation;
use crate::v1::response::Result as Answer;

/// Wipes what a request holds that must not be seen.
pub fn wipe_request(request: &mut v1::Request) {
    if let Some(operation) = &mut request.operation {
        wipe_operation(operation);
    }
}

/// The same of an operation.
pub fn wipe_operation(operation: &mut Operation) {
    match operation {
        Operation::Activate(message) => wipe_and_clear(&mut message.password),
        Operation::Attach(message) => wipe_and_clear(&mut message.ticket),
        Operation::Decrypt(message) => wipe_and_clear(&mut message.data),
        Operation::Encrypt(message) => wipe_and_clear(&mut message.data),
        Operation::KeyImport(message) => {
            wipe_and_clear(&mut message.private_key_info);
            wipe_and_clear(&mut message.secret);
        }
        Operation::Login(message) => wipe_and_clear(&mut message.password),
        Operation::LoginChallenge(message) => wipe_and_clear(&mut message.password),
        Operation::Sign(message) => wipe_and_clear(&mut message.data),
        Operation::UserChangeMfa(message) => wipe_and_clear(&mut message.password),
        Operation::UserChangePassword(message) => wipe_and_clear(&mut message.password),
        Operation::UserCreate(message) => wipe_and_clear(&mut message.password),
        Operation::Verify(message) => {
            wipe_and_clear(&mut message.data);
            wipe_and_clear(&mut message.signature);
        }
        _ => {}
    }
}

/// Wipes what a response holds that must not be seen.
pub fn wipe_response(response: &mut v1::Response) {
    wipe_and_clear(&mut response.ticket);
    if let Some(answer) = &mut response.result {
        wipe_answer(answer);
    }
}

/// The same of an answer.
pub fn wipe_answer(answer: &mut Answer) {
    match answer {
        Answer::Decrypt(result) => wipe_and_clear(&mut result.data),
        Answer::Encrypt(result) => wipe_and_clear(&mut result.data),
        Answer::KeyReadValue(result) => wipe_and_clear(&mut result.value),
        Answer::Login(result) => wipe_and_clear(&mut result.ticket),
        Answer::Random(result) => wipe_and_clear(&mut result.data),
        Answer::Sign(result) => wipe_and_clear(&mut result.signature),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// What a secret is in these tests.
    const SECRET: &[u8] = b"hunter22";

    fn secret() -> Vec<u8> {
        SECRET.to_vec()
    }

    fn holds_secret(bytes: &[u8]) -> bool {
        bytes.windows(SECRET.len()).any(|window| window == SECRET)
    }

    #[test]
    fn nothing_secret_is_left_of_a_request() {
        let operations = [
            Operation::Activate(v1::Activate { password: secret() }),
            Operation::Attach(v1::Attach { ticket: secret() }),
            Operation::Decrypt(v1::Decrypt { data: secret(), ..Default::default() }),
            Operation::Encrypt(v1::Encrypt { data: secret(), ..Default::default() }),
            Operation::KeyImport(v1::KeyImport { private_key_info: secret(), ..Default::default() }),
            Operation::KeyImport(v1::KeyImport { secret: secret(), ..Default::default() }),
            Operation::Login(v1::Login { password: secret(), ..Default::default() }),
            Operation::LoginChallenge(v1::LoginChallenge { password: secret(), ..Default::default() }),
            Operation::Sign(v1::Sign { data: secret(), ..Default::default() }),
            Operation::UserChangeMfa(v1::UserChangeMfa { password: secret(), ..Default::default() }),
            Operation::UserChangePassword(v1::UserChangePassword { password: secret(), ..Default::default() }),
            Operation::UserCreate(v1::UserCreate { password: secret(), ..Default::default() }),
            Operation::Verify(v1::Verify { data: secret(), ..Default::default() }),
            Operation::Verify(v1::Verify { signature: secret(), ..Default::default() }),
        ];
        for (index, operation) in operations.into_iter().enumerate() {
            let mut request = v1::Request { operation: Some(operation), ..Default::default() };
            assert!(holds_secret(&request.encode_to_vec()), "{index}");
            wipe_request(&mut request);
            assert!(!holds_secret(&request.encode_to_vec()), "{index}");
        }
    }

    #[test]
    fn nothing_secret_is_left_of_a_response() {
        let answers = [
            Answer::Decrypt(v1::DecryptResult { data: secret() }),
            Answer::Encrypt(v1::EncryptResult { data: secret(), ..Default::default() }),
            Answer::KeyReadValue(v1::KeyReadValueResult { value: secret() }),
            Answer::Login(v1::LoginResult { ticket: secret(), ..Default::default() }),
            Answer::Random(v1::RandomResult { data: secret() }),
            Answer::Sign(v1::SignResult { signature: secret() }),
        ];
        for (index, answer) in answers.into_iter().enumerate() {
            let mut response = v1::Response { ticket: secret(), result: Some(answer), ..Default::default() };
            wipe_response(&mut response);
            assert!(!holds_secret(&response.encode_to_vec()), "{index}");
        }
    }
}
