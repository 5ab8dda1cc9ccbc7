//! DescribeUserScramCredentials: which users have which SCRAM credentials; never the credentials themselves
//! (KIP-554).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(
    DescribeUserScramCredentials: DescribeUserScramCredentialsRequest<'a>, DescribeUserScramCredentialsResponse<'r>
);

message! {
    pub struct DescribeUserScramCredentialsRequest<'a> {
        /// Null or empty for all.
        users: Option<Vec<UserName<'a>>> [0..],
    }
}

message! {
    pub struct UserName<'a> {
        name: &'a str [0..],
    }
}

message! {
    pub struct DescribeUserScramCredentialsResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        results: Vec<DescribeUserScramCredentialsResult<'a>> [0..],
    }
}

message! {
    pub struct DescribeUserScramCredentialsResult<'a> {
        user: &'a str [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        credential_infos: Vec<CredentialInfo> [0..],
    }
}

message! {
    pub struct CredentialInfo {
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8 [0..],
        iterations: i32 [0..],
    }
}
