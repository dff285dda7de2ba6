use clap::error::ErrorKind;

use super::*;
use crate::shell::words;

/// Columns of a usual terminal. What is wider is broken by help, and examples would no longer be lines to type.
const HELP_WIDTH: usize = 80;

fn read(line: &str) -> Result<Arguments, clap::Error> {
    let words = words::split(line).expect("the line is whole");
    Arguments::read(std::iter::once("cloudhsm-cli".to_owned()).chain(words).map(OsString::from))
}

/// Every command that has none below it, with the words that lead to it.
pub(super) fn leaves(tree: &Tree, path: &str) -> Vec<(String, Tree)> {
    tree.get_subcommands()
        .filter(|command| command.get_name() != "help")
        .flat_map(|command| {
            let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
            let own = (!command.is_subcommand_required_set()).then(|| (path.clone(), command.clone()));
            own.into_iter().chain(leaves(command, &path)).collect::<Vec<_>>()
        })
        .collect()
}

/// The command lines in a text, those over several lines joined.
fn examples(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", "");
    joined.lines().filter_map(|line| line.trim().strip_prefix(PROGRAM)).map(str::to_owned).collect()
}

#[test]
fn the_tree_is_sound() {
    Arguments::tree().debug_assert();
    Line::tree().debug_assert();
}

#[test]
fn every_command_has_examples_which_are_understood() {
    let all = leaves(&Arguments::tree(), "");
    assert!(all.len() >= 20, "{}", all.len());
    for (path, command) in all {
        let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&text);
        assert!(!examples.is_empty(), "{path} has no example");
        for example in examples {
            // Options of `login` may stand between it and what comes with it.
            let mut words = example.split_whitespace();
            let is_of = path.split(' ').all(|word| words.any(|other| other == word));
            assert!(is_of && example.starts_with(path.split(' ').next().unwrap_or_default()), "{path}: {example}");
            assert!(read(&example).is_ok(), "{path}: {example}: {}", read(&example).unwrap_err());
        }
        let indented = |line: &str| line.starts_with("  ");
        let fits = text.lines().filter(|line| indented(line)).all(|line| line.chars().count() <= HELP_WIDTH);
        assert!(fits, "{path}: an example is wider than help is");
    }
}

#[test]
fn every_option_says_what_it_is_for() {
    let mut pending = vec![Arguments::tree(), Line::tree()];
    while let Some(mut command) = pending.pop() {
        command.build();
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        assert!(command.get_about().is_some(), "{}", command.get_name());
        pending.extend(command.get_subcommands().filter(|command| command.get_name() != "help").cloned());
    }
}

#[test]
fn help_is_at_every_level() {
    let check = |line: &str, expected: &str| {
        let error = read(line).map(|_| ()).expect_err("help is no command");
        assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{line}");
        assert_eq!(error.exit_code(), 0, "{line}");
        let text = error.to_string();
        assert!(text.contains(expected), "{line}: {text}");
    };
    check("help", "interactive");
    check("--help", "CLOUDHSM_PIN");
    check("key help", "generate-asymmetric-pair");
    check("help key generate-symmetric", "generic-secret");
    check("key help generate-symmetric generic-secret", "--key-length-bytes");
    check("help crypto sign rsa-pkcs-pss", "mgf1-sha256");
    check("key generate-asymmetric-pair ec -h", "secp521r1");
    check("user create --help", "[possible values: crypto-user, admin]");
    check("key generate-file --help", "reference-pem");
}

#[test]
fn every_command_tells_the_version() {
    let version = format!("cloudhsm-cli {}\n", env!("CARGO_PKG_VERSION"));
    for (path, _) in leaves(&Arguments::tree(), "") {
        for line in [format!("{path} --version"), format!("{path} -V")] {
            let error = read(&line).map(|_| ()).expect_err("a version is no command");
            assert_eq!((error.exit_code(), error.to_string()), (0, version.clone()), "{line}");
        }
    }
    for line in ["-V", "key -V", "key list --version", "quit -V"] {
        let words = words::split(line).expect("the line is whole");
        let error = Line::read(&words).map(|_| ()).expect_err("a version is no command");
        assert_eq!((error.exit_code(), error.to_string()), (0, version.clone()), "{line}");
    }
}

#[test]
fn the_shells_help_does_not_name_the_program() {
    let words = |line: &str| words::split(line).expect("the line is whole");
    let help = |line: &str| Line::read(&words(line)).map(|_| ()).expect_err("help is no command").to_string();
    let text = help("help key delete");
    assert!(text.contains("  key delete --filter key-reference=0x2e06bf"), "{text}");
    assert!(!text.contains(PROGRAM), "{text}");
    assert!(help("help").contains("quit"));
    assert!(matches!(Line::read(&words("exit")), Ok(Line { command: InShell::Quit, .. })));
    assert!(matches!(Line::read(&words("quit")), Ok(Line { command: InShell::Quit, .. })));
    assert!(Line::read(&words("interactive")).is_err());
}

#[test]
fn command_lines_of_the_guide_are_understood() {
    let check = |line: &str| {
        let read = read(line);
        assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
    };
    check("interactive --cluster-id cluster-234567abcde");
    check("cluster activate --password long-enough");
    check("cluster hsm-info");
    check("login --username alice --role crypto-user --password secret-1");
    check("user create --username alice --role crypto-user --password secret-1");
    check("user change-password --username alice --role admin");
    check("key generate-symmetric aes --label k --key-length-bytes 24 --attributes encrypt=true id=0x0a");
    check("key generate-symmetric generic-secret --label k --key-length-bytes 800 --share-crypto-users a b");
    check(
        "key generate-asymmetric-pair rsa --public-exponent 65537 --modulus-size-bits 2048 --public-label a \
         --private-label b --public-attributes verify=true --private-attributes sign=true",
    );
    check("key generate-asymmetric-pair ec --curve secp256r1 --public-label a --private-label b");
    check("key generate-asymmetric-pair ec --curve secp256r1 --public-label a --private-label b --session");
    check("key generate-asymmetric-pair ec --curve ed25519 --public-label a --private-label b");
    check("key generate-asymmetric-pair ml-dsa --mldsa-algorithm ML-DSA-87 --public-label a --private-label b");
    check("key generate-symmetric aes --label k --key-length-bytes 16 --session --attributes encrypt=true");
    check("key list --filter attr.class=public-key attr.label=x --max-items 3 --starting-token 5 -v");
    check("key list --filter=attr.class=public-key");
    check("key list --filter");
    check("key list --filter attr.class=public-key --filter attr.label=x");
    check("key list --max-items 1000");
    check("key delete --filter key-reference=0xabc");
    check("key delete --filter attr.key-reference=\"0xabc\"");
    check("key generate-file --encoding reference-pem --path f --filter attr.label=x");
    check("key share --filter attr.label=x attr.class=secret-key --username bob --role crypto-user");
    check("key unshare --filter key-reference=0x1 --username bob --role crypto-user --cluster-id cluster-234567abcde");
    check("key share --username bob --role admin --filter key-reference=0x1");
    check("key set-attribute --filter attr.label=x --name encrypt --value false");
    check("key set-attribute --filter attr.label=x --name id --value 0x0a");
    check("key set-attribute --filter attr.label=x --name class --value secret-key");
    check("crypto sign rsa-pkcs --key-filter attr.label=x --hash-function sha256 --data YQ==");
    check(
        "crypto sign rsa-pkcs-pss --key-filter attr.label=x --hash-function sha256 --mgf mgf1-sha256 \
         --salt-length 32 --data-path f --data-type digest",
    );
    check("crypto sign ed25519 --key-filter attr.label=x --data YQ==");
    check("crypto sign ed25519ph --key-filter attr.label=x --data-type raw --hash-function sha512 --data YQ==");
    check("crypto sign ml-dsa --key-filter attr.label=x --data-type external-mu --hash-function shake256 --data YQ==");
    check("crypto verify ed25519 --key-filter attr.label=x --data YQ== --signature-path f");
    check(
        "crypto verify ed25519ph --key-filter attr.label=x --data-type digest --hash-function sha512 --data YQ== \
         --signature YQ==",
    );
    check(
        "crypto verify ml-dsa --key-filter attr.label=x --data-type raw --hash-function shake256 --data-path f \
         --signature YQ==",
    );
    check(
        "crypto verify ecdsa --key-filter attr.label=x --hash-function sha512 --data YQ== --signature YQ== \
         --cluster-id cluster-234567abcde",
    );
}

#[test]
fn filters_are_all_terms_of_all_options() {
    let line = "key list --filter attr.class=public-key attr.label=\"my key\" --filter key-reference=12";
    let Ok(Arguments { command: Top::Command(command), .. }) = read(line) else { panic!("{line}") };
    let Command::Key(Key::List { filter, .. }) = *command else { panic!("{line}") };
    let expected: Vec<strongroom_types::FilterTerm> =
        ["attr.class=public-key", "attr.label=my key", "key-reference=12"]
            .map(|term| term.parse().expect("a term"))
            .into();
    assert_eq!(filter, expected);
}

#[test]
fn wrong_lines_are_refused_with_code_2() {
    let check = |line: &str, kind: ErrorKind| {
        let error = read(line).map(|_| ()).expect_err(line);
        assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}: {error}");
    };
    let one_of = "crypto sign ecdsa --key-filter attr.label=x --hash-function sha256";
    check("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    check("key", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    check("nonsense", ErrorKind::InvalidSubcommand);
    check("login --username a --role operator", ErrorKind::InvalidValue);
    check("login --username a --role Admin", ErrorKind::InvalidValue);
    check("login --role admin", ErrorKind::MissingRequiredArgument);
    check("user list --cluster-id nonsense", ErrorKind::ValueValidation);
    check("key generate-symmetric aes --key-length-bytes 16", ErrorKind::MissingRequiredArgument);
    check("key generate-symmetric des3 --label k", ErrorKind::InvalidSubcommand);
    let ed25519ph = "crypto sign ed25519ph --key-filter attr.label=x --data YQ==";
    check(ed25519ph, ErrorKind::MissingRequiredArgument);
    check(&format!("{ed25519ph} --data-type raw --hash-function sha256"), ErrorKind::InvalidValue);
    check(&format!("{ed25519ph} --data-type external-mu --hash-function sha512"), ErrorKind::InvalidValue);
    let ml_dsa = "crypto sign ml-dsa --key-filter attr.label=x --data YQ== --data-type";
    check(&format!("{ml_dsa} digest --hash-function shake256"), ErrorKind::InvalidValue);
    check(&format!("{ml_dsa} raw --hash-function sha512"), ErrorKind::InvalidValue);
    check(
        "crypto sign ed25519 --key-filter attr.label=x --data YQ== --hash-function sha512",
        ErrorKind::UnknownArgument,
    );
    let ml_dsa = "key generate-asymmetric-pair ml-dsa --public-label a --private-label b --mldsa-algorithm";
    check(&format!("{ml_dsa} ml-dsa-44"), ErrorKind::InvalidValue);
    check("key generate-symmetric aes --label k --key-length-bytes x", ErrorKind::ValueValidation);
    check(
        "key generate-symmetric aes --label k --key-length-bytes 16 --attributes colour=red",
        ErrorKind::ValueValidation,
    );
    check("key generate-symmetric aes --label k --key-length-bytes 16 --session=true", ErrorKind::TooManyValues);
    check("key list --session", ErrorKind::UnknownArgument);
    check("key generate-asymmetric-pair ec --curve ed448 --public-label a --private-label b", ErrorKind::InvalidValue);
    check("key list --filter label=x", ErrorKind::ValueValidation);
    check("key list --max-items 0", ErrorKind::ValueValidation);
    check("key list --max-items 1001", ErrorKind::ValueValidation);
    check("key list --starting-token -1", ErrorKind::UnknownArgument);
    check("key delete", ErrorKind::MissingRequiredArgument);
    check("key delete --filter", ErrorKind::InvalidValue);
    check("key generate-file --encoding pem --path f", ErrorKind::MissingRequiredArgument);
    check("key share --username bob --role crypto-user", ErrorKind::MissingRequiredArgument);
    check("key share --filter attr.label=x --role crypto-user", ErrorKind::MissingRequiredArgument);
    check("key unshare --filter attr.label=x --username bob", ErrorKind::MissingRequiredArgument);
    check("key share --filter attr.label=x --username bob --role operator", ErrorKind::InvalidValue);
    check("key delete --filter attr.label=x --approval f", ErrorKind::UnknownArgument);
    check("key list --approval f", ErrorKind::UnknownArgument);
    check("key set-attribute --filter attr.label=x --name sign", ErrorKind::MissingRequiredArgument);
    check("key set-attribute --filter attr.label=x --value true", ErrorKind::MissingRequiredArgument);
    check("key set-attribute --filter attr.label=x --name colour --value red", ErrorKind::InvalidValue);
    check("key generate-file --encoding der --path f --filter attr.label=x", ErrorKind::InvalidValue);
    check("crypto sign ecdsa --key-filter attr.label=x --hash-function md5 --data YQ==", ErrorKind::InvalidValue);
    check(one_of, ErrorKind::MissingRequiredArgument);
    check(&format!("{one_of} --data YQ== --data-path f"), ErrorKind::ArgumentConflict);
    check(&format!("{one_of} --data YQ"), ErrorKind::ValueValidation);
    check(&format!("{one_of} --data YQ== --approval f").replace("sign", "verify"), ErrorKind::UnknownArgument);
    let aes = "key generate-symmetric aes --label k --key-length-bytes 16";
    check(&format!("{aes} --use-key-quorum-value 9"), ErrorKind::ValueValidation);
    check(&format!("{aes} --manage-private-key-quorum-value 2"), ErrorKind::UnknownArgument);
    check("quorum token-sign set-quorum-value --service key-usage --value 2", ErrorKind::InvalidValue);
    check("quorum token-sign set-quorum-value --service user --value 0", ErrorKind::ValueValidation);
    check("quorum token-sign set-quorum-value --service user --value 9", ErrorKind::ValueValidation);
    check("quorum token-sign set-timeout", ErrorKind::MissingRequiredArgument);
    check("quorum token-sign set-timeout --generated 60 --approved 60", ErrorKind::ArgumentConflict);
    check("quorum token-sign generate --service users --token t", ErrorKind::InvalidValue);
    let mfa = "user change-mfa token-sign --username bob --role crypto-user";
    check(mfa, ErrorKind::MissingRequiredArgument);
    check(&format!("{mfa} --token f --deregister"), ErrorKind::ArgumentConflict);
    check("login --username bob --role admin mfa-token-sign", ErrorKind::MissingRequiredArgument);
    check(
        &one_of.replace("ecdsa", "rsa-pkcs-pss").replace("sha256", "sha256 --data YQ=="),
        ErrorKind::MissingRequiredArgument,
    );
    let verify = format!("{one_of} --data YQ==").replace("sign", "verify");
    check(&verify, ErrorKind::MissingRequiredArgument);
    check(&format!("{verify} --signature YQ== --signature-path f"), ErrorKind::ArgumentConflict);
}

#[test]
fn passwords_are_in_no_debug_text() {
    let line = "user create --username alice --role crypto-user --password hunter22";
    let text = format!("{:?}", read(line).expect(line));
    assert!(text.contains("alice") && !text.contains("hunter22"), "{text}");
}
