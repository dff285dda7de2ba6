//! The headers say what the standard and the library say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::host::{Host, include, run};
use crate::standard::{layouts, numbers};

const COMPILERS: [&[&str]; 4] = [
    &["cc", "-std=c90"],
    &["cc", "-std=c17"],
    &["c++", "-x", "c++", "-std=c++98"],
    &["c++", "-x", "c++", "-std=c++17"],
];

/// The names that a header defines as numbers.
fn defined(header: &str) -> Vec<String> {
    let text = std::fs::read_to_string(include().join(header)).unwrap();
    let name = |line: &str| {
        let name = line.strip_prefix("#define ")?.split_once(' ')?.0;
        (name.starts_with("CK") && name.contains('_') && !name.contains('(')).then(|| name.to_owned())
    };
    text.lines().filter_map(name).filter(|name| !["CK_PTR", "CK_CALLBACK_FUNCTION"].contains(&name.as_str())).collect()
}

/// What a program says that prints these numbers.
fn printed(host: &Host, includes: &str, names: &[String]) -> BTreeMap<String, u64> {
    let mut program = format!("#include <stdio.h>\n{includes}\nint main(void) {{\n");
    for name in names {
        let _ = writeln!(program, "printf(\"{name} %lu\\n\", (unsigned long)({name}));");
    }
    program.push_str("return 0;\n}\n");
    host.write("numbers.c", &program);
    let compiled = host.compile(&["cc", "-std=c99"], &host.path("numbers.c"), "numbers");
    let said = run(&mut host.command(&compiled)).ok();
    said.lines().map(|line| line.split_once(' ').unwrap()).map(|(n, v)| (n.to_owned(), v.parse().unwrap())).collect()
}

#[test]
fn each_header_compiles_alone_in_c_and_in_cpp_without_a_warning() {
    let host = Host::new();
    for header in ["cryptoki.h", "pkcs11t.h", "cloudhsm_pkcs11_vendor_defs.h"] {
        // Whichever of them is included, the vendor's symbols are there.
        host.write(
            "alone.c",
            &format!(
                "#include \"{header}\"\nint main(void) {{ CK_SP800_108_KDF_PARAMS p; p.prftype = CKM_SHA256_HMAC;\n\
             return p.prftype == CKM_CLOUDHSM_AES_GCM || CKM_SP800_108_COUNTER_KDF != 0x80000001UL; }}\n"
            ),
        );
        for compiler in COMPILERS {
            let compiled = host.compile(compiler, &host.path("alone.c"), "alone");
            run(&mut host.command(&compiled)).ok();
        }
    }
}

#[test]
fn every_number_of_the_standard_is_there_and_is_the_standards() {
    let host = Host::new();
    let expected: BTreeMap<_, _> = numbers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let names = defined("pkcs11t.h");
    assert!(names.len() > 750, "{}", names.len());
    assert_eq!(printed(&host, "#include \"cryptoki.h\"", &names), expected);
}

#[test]
fn every_structure_lies_in_memory_as_the_library_reads_it() {
    let host = Host::new();
    let header = std::fs::read_to_string(include().join("pkcs11t.h")).unwrap();
    let declared = header.lines().filter(|line| line.starts_with("struct ")).count();
    let layouts = layouts();
    assert_eq!(layouts.len(), declared);
    let mut program = "#include <stddef.h>\n#include <stdio.h>\n#include \"cryptoki.h\"\nint main(void) {\n".to_owned();
    let mut expected = String::new();
    for layout in &layouts {
        let _ = writeln!(program, "printf(\"{0} %d\\n\", (int)sizeof({0}));", layout.name);
        let _ = writeln!(expected, "{} {}", layout.name, layout.size);
        for (field, offset) in &layout.fields {
            let _ = writeln!(program, "printf(\"{0}.{field} %d\\n\", (int)offsetof({0}, {field}));", layout.name);
            let _ = writeln!(expected, "{}.{field} {offset}", layout.name);
        }
    }
    for (list, functions) in [("CK_FUNCTION_LIST", 68), ("CK_FUNCTION_LIST_3_0", 92)] {
        let _ = writeln!(program, "printf(\"{list} %d\\n\", (int)sizeof({list}));");
        let _ = writeln!(expected, "{list} {}", 8 + 8 * functions);
    }
    program.push_str("return 0;\n}\n");
    host.write("layouts.c", &program);
    let compiled = host.compile(&["cc", "-std=c99"], &host.path("layouts.c"), "layouts");
    assert_eq!(run(&mut host.command(&compiled)).ok(), expected);
}

/// The value of an expression as they stand in `vendor.rs`.
fn value(expression: &str) -> u64 {
    let term = |term: &str| match term.trim() {
        vendor if vendor.ends_with("_VENDOR_DEFINED") => 0x8000_0000,
        hex if hex.starts_with("0x") => u64::from_str_radix(&hex[2..].replace('_', ""), 16).unwrap(),
        number => number.parse().unwrap(),
    };
    expression.split('|').map(term).fold(0, |all, term| all | term)
}

#[test]
fn the_vendors_numbers_are_those_of_the_library() {
    let host = Host::new();
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vendor.rs")).unwrap();
    let expected: BTreeMap<_, _> = source
        .split("pub(crate) const ")
        .skip(1)
        .map(|rest| rest.split_once(':').unwrap())
        .map(|(name, rest)| {
            let expression = rest.split_once('=').unwrap().1.split_once(';').unwrap().0;
            (name.to_owned(), value(expression))
        })
        .collect();
    assert!(expected.len() >= 25, "{}", expected.len());
    let names: Vec<_> = expected.keys().cloned().collect();
    assert_eq!(printed(&host, "#include \"cloudhsm_pkcs11_vendor_defs.h\"", &names), expected);
    let header = defined("cloudhsm_pkcs11_vendor_defs.h");
    // Another name for the same, and what the standard has that the library has not.
    let others = ["CKM_SP800_108_COUNTER_KDF", "SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS"];
    let unknown: Vec<_> =
        header.iter().filter(|name| !names.contains(name) && !others.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
