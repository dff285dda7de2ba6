//! Which tool takes which option. Each is defined once; help, the reference and the tests are made from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use strongroom_client::{Component, Level, LogKind, RetryMode, Rotation, Server, Setting};
use strongroom_types::ClusterId;

/// The tool of a component.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) component: Component,
    /// What the component is, for people.
    what: &'static str,
    /// Whether its file may name several clusters.
    several: bool,
    /// Whether the older names of the options for a client's certificate are taken.
    older_names: bool,
}

/// All tools. A further component is one more row.
pub(super) const TOOLS: [Tool; 5] = [
    Tool { component: Component::Cli, what: "cloudhsm-cli", several: true, older_names: true },
    Tool { component: Component::Pkcs11, what: "the PKCS #11 library", several: true, older_names: true },
    Tool { component: Component::Dyn, what: "the OpenSSL engine", several: false, older_names: true },
    Tool { component: Component::Jce, what: "the JCE provider", several: false, older_names: true },
    Tool { component: Component::OpensslProvider, what: "the OpenSSL provider", several: false, older_names: false },
];

/// Something that two options switch on and off.
struct Switch {
    setting: Setting,
    /// Behind `--enable-` and `--disable-`.
    name: &'static str,
    of: &'static [Component],
    on: &'static str,
    off: &'static str,
}

/// All switches.
const SWITCHES: [Switch; 5] = [
    Switch {
        setting: Setting::KeyAvailabilityCheck,
        name: "key-availability-check",
        of: &Component::ALL,
        on: "Make and use keys only in a cluster of two HSMs or more: one that fails takes no key along. The default",
        off: "Make and use keys also in a cluster of one HSM",
    },
    Switch {
        setting: Setting::ValidateKeyAtInit,
        name: "validate-key-at-init",
        of: &Component::ALL,
        on: "Check a key's attributes already where an operation begins. The default",
        off: "Leave a key's attributes to the HSM, which checks them in any case",
    },
    Switch {
        setting: Setting::CertificateStorage,
        name: "certificate-storage",
        of: &[Component::Pkcs11],
        on: "Keep certificates as objects",
        off: "Keep no certificates. The default",
    },
    Switch {
        setting: Setting::EcdhWithoutKdf,
        name: "ecdh-without-kdf",
        of: &[Component::Pkcs11, Component::Jce],
        on: "Let ECDH give its secret without a key derivation function",
        off: "Let ECDH give no secret without a key derivation function. The default",
    },
    Switch {
        setting: Setting::ClearKeyExtraction,
        name: "clear-key-extraction-in-software",
        of: &[Component::Jce],
        on: "Let applications have extractable keys in clear, in their memory",
        off: "Keep extractable keys out of the memory of applications. The default",
    },
];

/// What a command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Changes in the only cluster of the file.
    Change(Box<Change>),
    /// One more cluster.
    Add(ClusterId, Place),
    /// One cluster less.
    Remove(ClusterId),
}

/// Changes in the only cluster of the file, and of the log.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: Option<ClusterId>,
    pub(super) place: Place,
    pub(super) settings: Vec<(Setting, bool)>,
    pub(super) retry: Option<RetryMode>,
    pub(super) log: Logging,
}

/// Where a cluster is and how one connects to it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) servers: Vec<Server>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
}

/// Changes of the log.
#[derive(Debug)]
pub(super) struct Logging {
    pub(super) kind: Option<LogKind>,
    pub(super) file: Option<PathBuf>,
    pub(super) level: Option<Level>,
    pub(super) rotation: Option<Rotation>,
}

impl Tool {
    pub(super) fn of(component: Component) -> Tool {
        TOOLS.into_iter().find(|tool| tool.component == component).expect("every component has a tool")
    }

    /// What to do where the file names several clusters.
    pub(super) fn of_several(self) -> &'static str {
        if self.several {
            "use add-cluster and remove-cluster, or edit the file"
        } else {
            "edit the file, so that it names one"
        }
    }

    /// Reads a command line, program name first.
    pub(super) fn read(self, arguments: impl IntoIterator<Item = OsString>) -> Result<Request, clap::Error> {
        let mut tree = self.tree();
        let matches = tree.try_get_matches_from_mut(arguments)?;
        if let (Some((command, _)), true) = (matches.subcommand(), matches.args_present()) {
            return Err(tree.error(ErrorKind::ArgumentConflict, format!("options of {command} stand behind it")));
        }
        Ok(match matches.subcommand() {
            Some(("add-cluster", matches)) => Request::Add(required_id(matches), place(matches)),
            Some((_, matches)) => Request::Remove(required_id(matches)),
            None => Request::Change(Box::new(Change {
                id: matches.get_one("cluster-id").cloned(),
                place: place(&matches),
                settings: self.switches().filter_map(|switch| switch.read(&matches)).collect(),
                retry: matches.get_one("default-retry-mode").copied(),
                log: Logging {
                    kind: matches.get_one("log-type").copied(),
                    file: absolute(&matches, "log-file"),
                    level: matches.get_one("log-level").copied(),
                    rotation: matches.get_one("log-rotation").copied(),
                },
            })),
        })
    }

    fn switches(self) -> impl Iterator<Item = &'static Switch> {
        SWITCHES.iter().filter(move |switch| switch.of.contains(&self.component))
    }

    /// The tree of options and commands.
    pub(super) fn tree(self) -> Command {
        let program = self.component.tool();
        let file = format!("cloudhsm-{}.cfg", self.component.as_str());
        let tree = Command::new(program.clone())
            .version(env!("CARGO_PKG_VERSION"))
            .about(format!("Configures {}: where the HSMs are, whom it trusts, how it logs", self.what))
            .long_about(format!(
                "Configures {}: where the HSMs are, whom it trusts, how it logs.\n\nThe configuration is etc/{file} below \
                 CLOUDHSM_HOME (default /opt/cloudhsm). Only what is named here is changed in it; a file that is missing \
                 is made. Programs that run go on with what they have read.",
                self.what
            ))
            .after_long_help(self.examples(&program))
            .arg_required_else_help(true)
            .subcommand_precedence_over_arg(true)
            .disable_help_subcommand(!self.several)
            .max_term_width(100)
            .args(self.place_options())
            .args(self.switches().flat_map(|switch| switch.options()))
            .arg(retry_mode())
            .args(self.log_options());
        if self.several { tree.subcommands(self.commands(&program)) } else { tree }
    }

    fn place_options(self) -> Vec<Arg> {
        let id = id().help("The cluster's id: HSMs of other clusters are then not spoken to. Needs -a");
        let mut options = vec![address(), id];
        options.extend([region(), endpoint()]);
        options.extend(self.files());
        options.into_iter().map(|option| option.help_heading("Cluster")).collect()
    }

    /// The CA, and the client's own certificate.
    fn files(self) -> [Arg; 3] {
        let older =
            |option: Arg, name: &'static str| if self.older_names { option.visible_alias(name) } else { option };
        let ca = path("hsm-ca-cert", "The CA of the cluster's certificate, in PEM; the default is etc/customerCA.crt");
        let certificate = path(
            "client-cert-hsm-tls-file",
            "The certificate to show to HSMs (mutual TLS), in PEM, followed by its chain up to the registered anchor",
        );
        let key = path("client-key-hsm-tls-file", "The certificate's private key, in PEM, without a passphrase");
        [
            ca,
            older(certificate.requires("client-key-hsm-tls-file"), "server-client-cert-file"),
            older(key.requires("client-cert-hsm-tls-file"), "server-client-key-file"),
        ]
    }

    fn log_options(self) -> [Arg; 4] {
        let to_terminal = match self.component {
            Component::Dyn | Component::OpensslProvider => LogKind::Term,
            Component::Cli | Component::Pkcs11 | Component::Jce => LogKind::File,
        };
        let log = format!("run/cloudhsm-{}.log", self.component.as_str());
        [
            choice("log-type", LogKind::ALL.map(|kind| (kind.name(), kind)))
                .help(format!("Standard error or a file; the default is {}", to_terminal.name())),
            path("log-file", "").help(format!("The log's file; the default is {log}")),
            choice("log-level", Level::ALL.map(|level| (level.name(), level)))
                .help("The least important lines that are kept; the default is info"),
            choice("log-rotation", Rotation::ALL.map(|rotation| (rotation.name(), rotation)))
                .help("When a new file is begun, with the date in its name; the default is daily"),
        ]
        .map(|option| option.help_heading("Log"))
    }

    fn commands(self, program: &str) -> [Command; 2] {
        let add = Command::new("add-cluster")
            .about("Name one more cluster in the configuration")
            .after_long_help(format!(
                "With several clusters each has its id, and --cluster-id of a command says which is meant. Switches of the \
                 new cluster are as they are where nothing is said.\n\nExample:\n  {program} add-cluster \\\n    \
                 --cluster-id cluster-234567abcde -a 127.7.8.1 \\\n    --hsm-ca-cert /srv/b/customerCA.crt"
            ))
            .arg(id().required(true).help("The cluster's id"))
            .arg(address().help("Addresses of its HSMs; one is enough, it tells the others"))
            .args([region(), endpoint()])
            .args(self.files());
        let remove = Command::new("remove-cluster")
            .about("Name one cluster less")
            .after_long_help(format!(
                "The cluster itself and its keys stay as they are.\n\nExample:\n  {program} remove-cluster \\\n    \
                 --cluster-id cluster-234567abcde"
            ))
            .arg(id().required(true).help("The cluster's id"));
        [add, remove]
    }

    fn examples(self, program: &str) -> String {
        let mut examples = format!(
            "Examples:\n  sudo {program} -a 127.7.8.1\n  sudo {program} -a 127.7.8.1 127.7.8.2 \\\n    \
             --hsm-ca-cert /opt/cloudhsm/etc/customerCA.crt\n  sudo {program} --disable-key-availability-check\n  \
             sudo {program} --log-type file --log-file /var/log/hsm.log \\\n    --log-level debug"
        );
        for switch in self.switches().filter(|switch| switch.of.len() < Component::ALL.len()) {
            examples.push_str(&format!("\n  sudo {program} --enable-{}", switch.name));
        }
        if self.several {
            examples.push_str(&format!(
                "\n  sudo {program} add-cluster --cluster-id cluster-234567abcde \\\n    -a 127.7.9.1"
            ));
        }
        examples
    }
}

impl Switch {
    fn options(&self) -> [Arg; 2] {
        let (enable, disable) = (format!("enable-{}", self.name), format!("disable-{}", self.name));
        let option = |name: &str, other: &str, help| {
            let option = Arg::new(name.to_owned()).long(name.to_owned()).action(ArgAction::SetTrue);
            option.conflicts_with(other.to_owned()).help_heading("Switches").help(help)
        };
        [option(&disable, &enable, self.off), option(&enable, &disable, self.on)]
    }

    fn read(&self, matches: &ArgMatches) -> Option<(Setting, bool)> {
        let [disable, enable] = self.options().map(|option| matches.get_flag(option.get_id().as_str()));
        (enable || disable).then_some((self.setting, enable))
    }
}

fn address() -> Arg {
    Arg::new("address")
        .short('a')
        .value_name("ADDRESS")
        .num_args(1..)
        .action(ArgAction::Append)
        .value_parser(server)
        .help("Addresses of HSMs, in place of those that are named now; one is enough, it tells the others")
}

fn id() -> Arg {
    Arg::new("cluster-id").long("cluster-id").value_name("CLUSTER_ID").value_parser(value_parser!(ClusterId))
}

fn region() -> Arg {
    let help = "The region to ask for the cluster's addresses. Kept; nobody is asked yet";
    Arg::new("region").long("region").value_name("REGION").requires("cluster-id").value_parser(region_name).help(help)
}

fn endpoint() -> Arg {
    let help = "Whom to ask for the cluster's addresses. Kept; nobody is asked yet";
    Arg::new("endpoint").long("endpoint").value_name("URL").requires("cluster-id").value_parser(url).help(help)
}

fn retry_mode() -> Arg {
    let help = "Whether a request that failed is repeated, on other HSMs first; the default is standard";
    let modes = RetryMode::ALL.map(|mode| (mode.name(), mode));
    choice("default-retry-mode", modes).help_heading("Switches").help(help)
}

/// An option that names a file. It must be text: so is the configuration.
fn path(name: &'static str, help: &'static str) -> Arg {
    let option = Arg::new(name).long(name).value_name("FILE").value_hint(clap::ValueHint::FilePath);
    option.value_parser(clap::builder::NonEmptyStringValueParser::new()).help(help)
}

/// An option with one of these values.
fn choice<T: Copy + Send + Sync + 'static, const N: usize>(name: &'static str, values: [(&'static str, T); N]) -> Arg {
    let parser = PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |text| {
        let chosen = values.iter().find(|(name, _)| *name == text);
        chosen.expect("the parser takes these names alone").1
    });
    Arg::new(name).long(name).value_name(name.rsplit('-').next().unwrap_or(name).to_uppercase()).value_parser(parser)
}

fn server(text: &str) -> Result<Server, &'static str> {
    let server = Server::new(text);
    if server.is_valid() { Ok(server) } else { Err("expected an IP address or a host name, without a port") }
}

fn region_name(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(known) {
        Ok(text.to_owned())
    } else {
        Err("expected a region, such as us-east-1")
    }
}

fn url(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
    if rest.is_some_and(plain) { Ok(text.to_owned()) } else { Err("expected a URL, such as https://localhost:8443") }
}

fn required_id(matches: &ArgMatches) -> ClusterId {
    matches.get_one::<ClusterId>("cluster-id").expect("the option is required").clone()
}

fn place(matches: &ArgMatches) -> Place {
    let mut servers: Vec<Server> = Vec::new();
    for server in matches.get_many::<Server>("address").into_iter().flatten() {
        if !servers.contains(server) {
            servers.push(server.clone());
        }
    }
    let certificate = absolute(matches, "client-cert-hsm-tls-file");
    Place {
        servers,
        region: matches.get_one("region").cloned(),
        endpoint: matches.get_one("endpoint").cloned(),
        ca: absolute(matches, "hsm-ca-cert"),
        certificate: certificate.zip(absolute(matches, "client-key-hsm-tls-file")),
    }
}

/// A file's name as it is from everywhere. Links are left as they are: they may lead elsewhere later.
fn absolute(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    let given = PathBuf::from(matches.get_one::<String>(name)?);
    Some(std::path::absolute(&given).unwrap_or(given))
}
