//! Knot's `keymgr` and `kzonesign`, OpenDNSSEC's `libhsm`.

use strongroom_tests::Page;

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/dns.md"));
const ZONE: &str = "$ORIGIN example.\n$TTL 3600\n\
                    @ IN SOA ns.example. admin.example. 1 3600 600 86400 300\n\
                    @ IN NS ns.example.\nns IN A 192.0.2.1\nwww IN A 192.0.2.2\n";

#[test]
fn knot_signs_a_zone() {
    let programs = ["keymgr", "kzonesign", "kzonecheck", "ldns-verify-zone"];
    let Some(story) = Story::new("knot", Cluster::Fips, &programs) else { return };
    story.write("example.zone", ZONE.as_bytes());
    let said = story.walk(PAGE, "Knot DNS").stdout;
    assert_eq!(said.matches("ECDSAP256SHA256").count(), 2, "{said}");
    story.sh("kzonecheck -o example. -d on signed/example.zone");
    let said = story.sh("ldns-verify-zone signed/example.zone").stdout;
    assert!(said.contains("Zone is verified and complete"), "{said}");
    let keys = story.sh("grep -c 'DNSKEY[[:space:]]25[67] ' signed/example.zone").stdout;
    assert_eq!(keys, "2\n");
    // An address that nobody signed.
    let altered = "sed 's/192.0.2.2/192.0.2.3/' signed/example.zone > altered.zone\n\
                   ldns-verify-zone altered.zone && exit 1 || echo refused";
    assert!(story.sh(altered).stdout.ends_with("refused\n"));
}

#[test]
fn opendnssecs_libhsm_signs_in_several_threads() {
    let Some(story) = Story::new("opendnssec", Cluster::NonFips, &["ods-hsmspeed"]) else { return };
    let ran = story.walk(PAGE, "OpenDNSSEC");
    let line = "4 threads, 25 signatures per thread";
    assert!(ran.stdout.contains(line) && ran.stdout.contains("(RSA 2048 bits)"), "{ran:?}");
    assert_eq!(ran.stderr.matches("done.").count(), 5, "{ran:?}");
    // It deletes its key.
    let left = story.sh("pkcs11-tool --module \"$MODULE\" --login --pin env:PIN --list-objects").stdout;
    assert!(!left.contains("Private Key Object"), "{left}");
}
