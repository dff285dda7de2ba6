//! OpenSSL with libp11's engine, and `osslsigncode` with the same.

use std::net::TcpStream;
use std::time::Duration;

use strongroom_tests::{Page, Tls, free_port, get, wait_for};

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/libp11.md"));
/// A file of the package that brings the engine.
const ENGINE: &str = "/usr/share/doc/libengine-pkcs11-openssl/copyright";

#[test]
fn openssl_signs_and_serves_with_libp11s_engine() {
    let Some(story) = Story::new("libp11", Cluster::Fips, &["openssl", "pkcs11-tool", ENGINE]) else { return };
    story.write("data", b"what is signed");
    story.walk(PAGE, "A key and a certificate");
    story.sh("openssl verify -CAfile site.crt site.crt");
    assert!(story.walk(PAGE, "Signing").stdout.contains("Verified OK"));
    let port = free_port();
    let story = story.with("PORT", &format!("127.0.0.1:{port}"));
    let serve = PAGE.preparation() + "exec " + PAGE.commands("A TLS server").trim_start();
    // The page's server ends after two connections: the first only waits for it.
    let mut server = story.server(&serve);
    wait_for("openssl to listen", Duration::from_secs(20), || {
        server.assert_runs();
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let page = get(port, &story.file("site.crt"), Tls::V13);
    assert!(page.stdout.contains("TLSv1.3"), "{page:?}\n{}", server.said());
}

#[test]
fn osslsigncode_signs_a_windows_program() {
    let programs = ["openssl", "pkcs11-tool", "osslsigncode", ENGINE];
    let Some(story) = Story::new("osslsigncode", Cluster::Fips, &programs) else { return };
    story.write("program.exe", &windows_program());
    let signing = PAGE.commands("Signing Windows programs");
    let (request, sign) = signing.split_once("unset OPENSSL_CONF\n").expect("the page does so");
    story.sh(&(PAGE.preparation() + request));
    let ca = "openssl req -x509 -newkey rsa:2048 -noenc -keyout ca.key -out ca.crt -days 30 -subj /CN=ca\n\
              printf 'extendedKeyUsage=codeSigning\\nkeyUsage=digitalSignature\\n' > extensions\n\
              openssl x509 -req -in signer.csr -CA ca.crt -CAkey ca.key -days 30 -extfile extensions -out signer.crt";
    story.sh(ca);
    story.sh(&format!("{}unset OPENSSL_CONF\n{sign}", PAGE.preparation()));
    let said = story.sh("osslsigncode verify -CAfile ca.crt -in signed.exe").stdout;
    assert!(said.contains("Signature verification: ok"), "{said}");
    // One byte of the program's code is another one.
    let altered = "cp signed.exe altered.exe && printf X | dd of=altered.exe bs=1 seek=700 conv=notrunc 2>&1\n\
                   osslsigncode verify -CAfile ca.crt -in altered.exe && exit 1 || echo refused";
    assert!(story.sh(altered).stdout.ends_with("refused\n"));
}

/// A program for 64-bit Windows that returns at once: headers of 512 bytes, and a section of code of 512 bytes.
fn windows_program() -> Vec<u8> {
    const HEADER: u32 = 64;
    const PAGE_LEN: u32 = 0x1000;
    const SECTION: u32 = 512;
    let mut bytes = vec![0; 1024];
    let mut at = |place: usize, value: &[u8]| bytes[place..place + value.len()].copy_from_slice(value);
    at(0, b"MZ");
    at(60, &HEADER.to_le_bytes());
    // COFF: x86-64, one section, an optional header of 240 bytes, executable with large addresses.
    at(64, b"PE\0\0");
    at(68, &0x8664_u16.to_le_bytes());
    at(70, &1_u16.to_le_bytes());
    at(84, &240_u16.to_le_bytes());
    at(86, &0x22_u16.to_le_bytes());
    // PE32+: sizes of code and image, where it begins, alignments, the console, sixteen empty directories.
    at(88, &0x20b_u16.to_le_bytes());
    for (place, value) in [(92, SECTION), (104, PAGE_LEN), (108, PAGE_LEN), (112, 0x4000_0000), (120, PAGE_LEN)] {
        at(place, &value.to_le_bytes());
    }
    at(116, &1_u32.to_le_bytes());
    for (place, value) in [(124, SECTION), (144, 2 * PAGE_LEN), (148, SECTION), (196, 16)] {
        at(place, &value.to_le_bytes());
    }
    for (place, value) in [(128, 6_u16), (136, 6), (156, 3)] {
        at(place, &value.to_le_bytes());
    }
    for (place, value) in [(160, 0x10_0000_u64), (168, 0x1000), (176, 0x10_0000), (184, 0x1000)] {
        at(place, &value.to_le_bytes());
    }
    // The section: its name, one byte of code at its address, where it lies in the file, readable code.
    at(328, b".text");
    for (place, value) in [(336, 1), (340, PAGE_LEN), (344, SECTION), (348, SECTION), (364, 0x6000_0020)] {
        at(place, &value.to_le_bytes());
    }
    // `ret`.
    at(512, &[0xc3]);
    bytes
}
