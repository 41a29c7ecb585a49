//! Settings: compiled-in defaults, then the mode, then a file, then the environment.

mod sections;

use std::path::Path;

use config::{Config, File, FileFormat};
pub use sections::{
    Auth, Bridge, Cluster, Coordinator, Gateway, LogFormat, Mode, Monitor, Redis, Section, Settings, Tasks,
    Telemetry, Worker,
};

const DEFAULTS: &str = include_str!("defaults.toml");
const TESTING: &str = include_str!("testing.toml");
const PRODUCTION: &str = include_str!("production.toml");

/// Names of the seeds and of compose files, and the settings they stand for.
const COMPATIBLE: &[(&str, &str)] = &[
    ("VTOX_CLUSTER_MODE", "mode"),
    ("VTOX_CLUSTER_WORKERS", "cluster.workers"),
    ("VTOX_CLUSTER_ENABLED", "cluster.enabled"),
    ("REDIS_URL", "redis.url"),
    ("REDIS_URL_FILE", "redis.url_file"),
    ("FAULT_TYPES", "worker.fault_types"),
    ("WORKER_ID", "worker.id"),
    ("WORKER_PORT", "worker.port"),
];

/// Variables with our prefix that are no settings.
const NOT_SETTINGS: &[&str] = &["VTOX_CONFIG", "VTOX_CA_FILE", "VTOX_RECORDINGS", "VTOX_TOKEN"];

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A layer cannot be read, or has a key nobody knows.
    #[error("{0}; the settings and their defaults are listed by `vtox config`")]
    Unreadable(String),
    /// Two settings contradict each other, or one is out of range.
    #[error("{0}")]
    Invalid(String),
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Loads the settings. `environment` is the process' own.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let (mut synonyms, mut overrides) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        if let Some((_, key)) = COMPATIBLE.iter().find(|(n, _)| *n == name) {
            // Compose sets what a user left out to nothing.
            if !value.is_empty() {
                synonyms.push(((*key).to_owned(), value));
            }
        } else if let Some(rest) = name.strip_prefix("VTOX_")
            && !NOT_SETTINGS.contains(&name.as_str())
            && !rest.starts_with("TEST_")
        {
            overrides.push((rest.to_lowercase().replace("__", "."), value));
        }
    }
    // Where both names of a setting are there, ours wins over the older one.
    synonyms.append(&mut overrides);
    let overrides = synonyms;
    let mode = mode_of(file, &overrides)?;
    let mut settings: Settings = layers(mode, file, &overrides)?.try_deserialize()?;
    settings.redis.read_url().map_err(ConfigError::Invalid)?;
    settings.validate().map_err(ConfigError::Invalid)?;
    Ok(settings)
}

/// The commented defaults, for people.
pub fn documented_defaults() -> &'static str {
    DEFAULTS
}

fn mode_of(file: Option<&Path>, overrides: &[(String, String)]) -> Result<Mode, ConfigError> {
    Ok(layers(Mode::Development, file, overrides)?.get::<Mode>("mode")?)
}

fn layers(mode: Mode, file: Option<&Path>, overrides: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    match mode {
        Mode::Development => {}
        Mode::Testing => builder = builder.add_source(File::from_str(TESTING, FileFormat::Toml)),
        Mode::Production => builder = builder.add_source(File::from_str(PRODUCTION, FileFormat::Toml)),
    }
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    for (key, value) in overrides {
        builder = builder.set_override(key, value.as_str())?;
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use vtox_protocol::{FaultSet, FaultType};

    use super::*;

    fn with(environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        load(None, environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn modes_differ_as_documented() {
        let development = with(&[]).unwrap();
        assert_eq!((development.cluster.workers, development.partitions()), (3, 1));
        let production = with(&[("VTOX_CLUSTER_MODE", "production")]).unwrap();
        assert_eq!((production.cluster.workers, production.partitions()), (6, 64));
        assert_eq!(production.host, "0.0.0.0");
        let testing = with(&[("VTOX_CLUSTER_MODE", "testing")]).unwrap();
        assert_eq!((testing.cluster.workers, testing.monitor.interval_s), (2, 5));
    }

    #[test]
    fn the_url_of_redis_may_be_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redis.url");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "redis://vtox-worker:secret@redis:6379\n").unwrap();
        let settings = with(&[("REDIS_URL_FILE", name)]).unwrap();
        assert_eq!(settings.redis.url(), "redis://vtox-worker:secret@redis:6379");
        let both = with(&[("REDIS_URL_FILE", name), ("REDIS_URL", "redis://other")]).unwrap_err();
        assert!(both.to_string().contains("both set"), "{both}");
        std::fs::write(&path, " \n").unwrap();
        assert!(with(&[("REDIS_URL_FILE", name)]).unwrap_err().to_string().contains("is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(with(&[("REDIS_URL_FILE", name)]).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn the_environment_wins_and_old_names_work() {
        let settings = with(&[
            ("REDIS_URL", "redis://redis:6379"),
            ("FAULT_TYPES", "bearing"),
            ("WORKER_PORT", "9000"),
            ("VTOX_GATEWAY__PORT", "8100"),
            ("VTOX_CLUSTER_WORKERS", "7"),
            ("WORKER_ID", ""),
            ("PATH", "/bin"),
        ])
        .unwrap();
        let both = with(&[("VTOX_REDIS__URL", "redis://ours"), ("REDIS_URL", "redis://older")]).unwrap();
        assert_eq!(both.redis.url, "redis://ours");
        assert_eq!(settings.redis.url, "redis://redis:6379");
        assert_eq!(settings.worker.faults(), FaultSet::EMPTY.with(FaultType::Bearing));
        assert_eq!((settings.worker.port, settings.gateway.port), (9000, 8100));
        // More workers than fault types need more than one partition.
        assert_eq!(settings.partitions(), 64);
    }

    #[test]
    fn slot_tags_are_many_only_under_a_redis_cluster() {
        assert_eq!(with(&[]).unwrap().topology().slot_tags, 1);
        let cluster = ("REDIS_URL", "redis+cluster://a:6379,b:6379");
        assert_eq!(with(&[cluster]).unwrap().topology().slot_tags, 16);
        let set = |n| with(&[cluster, ("VTOX_CLUSTER__SLOT_TAGS", n)]);
        assert_eq!(set("5").unwrap().topology().slot_tags, 5);
        assert!(set("1").unwrap_err().to_string().contains("set it to 0 or at least 2"));
    }

    #[test]
    fn the_documented_defaults_of_placement_are_those_of_the_library() {
        let settings = with(&[("VTOX_PLACEMENT__ROUND_MS", "1000")]).unwrap();
        assert_eq!(settings.placement, vtox_balancing::PlacementConfig::default());
    }

    #[test]
    fn a_section_is_read_by_who_knows_it() {
        #[derive(Debug, serde::Deserialize, PartialEq)]
        #[serde(deny_unknown_fields)]
        struct Known {
            level_db: f64,
        }
        let set = |key| with(&[(key, "-50.5")]).unwrap().diagnosis.read::<Known>();
        assert_eq!(set("VTOX_DIAGNOSIS__LEVEL_DB").unwrap(), Known { level_db: -50.5 });
        assert!(set("VTOX_DIAGNOSIS__LEVEL").unwrap_err().to_string().contains("level"));
    }

    #[test]
    fn production_needs_credentials_and_keys_for_them() {
        assert!(!with(&[]).unwrap().auth.required);
        let production = |more: &[(&str, &str)]| with(&[&[("VTOX_MODE", "production")], more].concat());
        let settings = production(&[]).unwrap();
        assert!(settings.auth.required);
        let error = settings.auth.check(settings.mode).unwrap_err().to_string();
        assert!(error.contains("vtox token keygen"), "{error}");
        let settings = production(&[("VTOX_AUTH__KEYS_DIR", "/etc/vtox/keys")]).unwrap();
        assert!(settings.auth.check(settings.mode).is_ok() && settings.auth.check(Mode::Development).is_ok());
        let error = production(&[("VTOX_AUTH__REQUIRED", "false")]).unwrap_err().to_string();
        assert!(error.contains("auth.required is false"), "{error}");
    }

    #[test]
    fn production_needs_a_redis_with_a_password() {
        let check = |mode: &str, url: &str, more: &[(&str, &str)]| {
            let settings = with(&[&[("VTOX_MODE", mode), ("REDIS_URL", url)], more].concat()).unwrap();
            settings.redis.check(settings.mode).map_err(|e| e.to_string())
        };
        for open in [
            "",
            "redis://redis:6379",
            "redis://vtox-worker@redis:6379",
            "redis://vtox-worker:@redis:6379",
            "rediss+sentinel://a:26379,b:26379/main?sentinel_password=x",
            "redis+unix:///run/redis.sock",
        ] {
            let error = check("production", open, &[]).unwrap_err();
            assert!(error.contains("make-users.sh") && error.contains("redis.allow_no_password"), "{error}");
            assert_eq!(check("production", open, &[("VTOX_REDIS__ALLOW_NO_PASSWORD", "true")]), Ok(()));
            assert_eq!(check("development", open, &[]), Ok(()));
        }
        for closed in [
            "redis://vtox-worker:PASSWORD@redis:6379/0",
            "rediss://:PASSWORD@redis",
            "redis+sentinel://u:PASSWORD@a:26379,b:26379/main",
            "redis+unix:///run/redis.sock?user=u&pass=PASSWORD",
        ] {
            let with = |password| check("production", &closed.replace("PASSWORD", password), &[]);
            assert_eq!(with("k3vQ9mZx7LpWc2Rt"), Ok(()), "{closed}");
            assert!(with("changeme").unwrap_err().contains("can be guessed"), "{closed}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (environment, part) in [
            (("VTOX_GATEWAY__PROT", "1"), "prot"),
            (("VTOX_GATEWAY__PORT", "high"), "high"),
            (("FAULT_TYPES", "bearings"), "bearings"),
            (("VTOX_CLUSTER_MODE", "prod"), "prod"),
            (("VTOX_CLUSTER__PARTITIONS", "5000"), "cluster.partitions"),
            (("VTOX_CLUSTER__SLOT_TAGS", "5000"), "cluster.slot_tags"),
            (("VTOX_GATEWAY__BACKLOG_MEMORY_SHARE", "2"), "backlog_memory_share"),
            (("VTOX_REDIS__REPLICA_TIMEOUT_MS", "0"), "replica_timeout_ms"),
            (("VTOX_REDIS__CLIENT_CERT", "cert.pem"), "redis.client_key"),
            (("VTOX_PLACEMENT__STOP_DEVIATION", "0.5"), "set stop_deviation below start_deviation"),
            (("VTOX_PLACEMENT__SCORE__CPU", "-1"), "placement.score.cpu"),
            (("VTOX_PLACEMENT__OVERLOAD__LAG", "3"), "lag"),
            (("VTOX_AUTH__AUDIENCE", ""), "auth.audience"),
            (("VTOX_AUTH__TOKEN_LIFETIME_S", "1"), "auth.token_lifetime_s"),
        ] {
            let error = with(&[environment]).unwrap_err().to_string();
            assert!(error.contains(part), "{environment:?}: {error}");
        }
    }
}
