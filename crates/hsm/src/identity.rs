//! What an HSM says it is. The only place of these words.

use strongroom_types::HsmId;

/// Who made it.
pub const VENDOR: &str = "Strongroom";
/// Which model.
pub const MODEL: &str = "STRONGROOM-HSM";
/// Major and minor number of the hardware, which there is none of.
pub const HARDWARE: (u32, u32) = (1, 0);
/// Major, minor and build number of the program: its version.
pub const FIRMWARE: (u32, u32, u32) = (
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
);

/// `STRONGROOM-FW-0.01-00`: major, minor in two digits, build in two digits.
pub fn firmware_id() -> String {
    let (major, minor, build) = FIRMWARE;
    format!("STRONGROOM-FW-{major}.{minor:02}-{build:02}")
}

/// The serial number of an HSM, made from its id: an HSM keeps it for life and no two have the same.
pub fn serial_number(hsm: &HsmId) -> String {
    format!("1.0S0001-{}", hsm.as_str().trim_start_matches("hsm-"))
}

const fn number(digits: &str) -> u32 {
    let bytes = digits.as_bytes();
    let (mut number, mut at) = (0, 0);
    while at < bytes.len() {
        assert!(bytes[at].is_ascii_digit(), "a version number has digits only");
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_have_the_shape_that_tools_print() {
        assert_eq!(number("16"), 16);
        assert_eq!(firmware_id(), format!("STRONGROOM-FW-{}.{:02}-{:02}", FIRMWARE.0, FIRMWARE.1, FIRMWARE.2));
        assert_eq!(serial_number(&"hsm-aaaaaaaaaaa".parse().unwrap()), "1.0S0001-aaaaaaaaaaa");
    }
}
