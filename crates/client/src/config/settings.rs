//! What is switched on or off for a cluster. The keys stand here and nowhere else.

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Keys of the cluster are made and used only where the cluster has two HSMs.
    KeyAvailabilityCheck,
    /// What an operation begins with is checked against the key at once. The PKCS #11 library has such a step.
    ValidateKeyAtInit,
    /// Certificates as objects of the PKCS #11 library.
    CertificateStorage,
    /// ECDH whose secret goes through no key derivation function.
    EcdhWithoutKdf,
    /// Keys in clear in the memory of a JCE application.
    ClearKeyExtraction,
}

impl Setting {
    /// All, in the order in which they are documented.
    pub const ALL: [Setting; 5] = [
        Setting::KeyAvailabilityCheck,
        Setting::ValidateKeyAtInit,
        Setting::CertificateStorage,
        Setting::EcdhWithoutKdf,
        Setting::ClearKeyExtraction,
    ];

    /// Its key under `options` of a cluster. The guide names the first; the others are chosen to look like it
    /// (`docs/reference/choices.md`).
    pub fn key(self) -> &'static str {
        match self {
            Setting::KeyAvailabilityCheck => "disable_key_availability_check",
            Setting::ValidateKeyAtInit => "disable_validate_key_at_init",
            Setting::CertificateStorage => "enable_certificate_storage",
            Setting::EcdhWithoutKdf => "enable_ecdh_without_kdf",
            Setting::ClearKeyExtraction => "enable_clear_key_extraction_in_software",
        }
    }

    /// Whether it is on where nothing is said.
    pub fn by_default(self) -> bool {
        match self {
            Setting::KeyAvailabilityCheck | Setting::ValidateKeyAtInit => true,
            Setting::CertificateStorage | Setting::EcdhWithoutKdf | Setting::ClearKeyExtraction => false,
        }
    }

    /// What its key says: a key that disables is true where the switch is off.
    pub(super) fn value(self, on: bool) -> bool {
        on != self.key().starts_with("disable_")
    }
}

/// All switches of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings([bool; Setting::ALL.len()]);

impl Default for Settings {
    fn default() -> Settings {
        Settings(Setting::ALL.map(Setting::by_default))
    }
}

impl Settings {
    /// Whether this one is on.
    pub fn is_on(self, setting: Setting) -> bool {
        self.0[setting as usize]
    }

    /// The same with this one on or off.
    #[must_use]
    pub fn with(mut self, setting: Setting, on: bool) -> Settings {
        self.0[setting as usize] = on;
        self
    }
}
