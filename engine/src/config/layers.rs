//! How the layers of the configuration are laid over each other.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Config;

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A key is unknown or its value has the wrong type.
    Key(String),
    /// Values that cannot work.
    Value(String),
}

/// Reads the file, if there is one, and lays the environment over it.
///
/// # Errors
/// A sentence that names the file and the key.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    let environment: Vec<(String, String)> = environment.collect();
    for (name, value) in &environment {
        if let Some((_, path, unit)) = PREDECESSOR.iter().find(|(old, ..)| old == name)
            && !value.is_empty()
        {
            set(&mut table, path, Value::String(format!("{value}{unit}")))?;
        }
    }
    let mut own = Vec::new();
    for (name, value) in &environment {
        if let Some(path) = name.strip_prefix("TAPEDECK_")
            && path.contains("__")
        {
            let path = path.to_lowercase();
            let path: Vec<&str> = path.split("__").collect();
            set(&mut table, &path, scalar(value))?;
            own.push(name.as_str());
        }
    }
    let mut place: Vec<String> = file.iter().map(|path| path.display().to_string()).collect();
    place.extend(own.iter().map(|name| (*name).to_owned()));
    let place = match place.is_empty() {
        true => "the environment".to_owned(),
        false => place.join(" or "),
    };
    let config: Config = table
        .try_into()
        .map_err(|error| ConfigError::Key(format!("{place}: {}", one_line(&error))))?;
    config.check()?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.into(), source })?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.into(),
        message: one_line(&error),
    })
}

fn set(table: &mut Table, path: &[&str], value: Value) -> Result<(), ConfigError> {
    let Some((key, sections)) = path.split_last() else { return Ok(()) };
    let mut here = table;
    for section in sections {
        let below = here.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = below else {
            return Err(ConfigError::Key(format!("{section} is a section, not a value")));
        };
        here = next;
    }
    here.insert((*key).to_owned(), value);
    Ok(())
}

/// `12`, `true` and `["a","b"]` are what they look like, `a,b` is a list; the rest is text.
fn scalar(text: &str) -> Value {
    if text.contains(',') && !text.contains(['[', '"']) {
        let parts = text.split(',').map(|part| Value::String(part.trim().to_owned()));
        return Value::Array(parts.collect());
    }
    match format!("v = {text}").parse::<Table>() {
        Ok(mut table) => table.remove("v").unwrap_or_else(|| Value::String(text.into())),
        Err(_) => Value::String(text.into()),
    }
}

fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let parts: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let drawing = |line: &&&str| !line.starts_with('|') && !line.contains(" | ");
    parts.iter().filter(drawing).copied().collect::<Vec<_>>().join(": ")
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read the configuration {}: {source}", path.display())
            }
            Self::Syntax { path, message } => {
                write!(f, "the configuration {} is not TOML: {message}", path.display())
            }
            Self::Key(message) => write!(f, "the configuration is wrong: {message}"),
            Self::Value(message) => write!(f, "the configuration is wrong: {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The predecessor's variables that have a place here: its name, our key, and the unit that it
/// leaves out.
const PREDECESSOR: [(&str, &[&str], &str); 4] = [
    ("DATABASE_URL", &["sinks", "postgres", "url"], ""),
    ("DERIBIT_WS_URL", &["exchange", "url"], ""),
    ("LOG_LEVEL", &["telemetry", "level"], ""),
    ("SNAPSHOT_INTERVAL_SEC", &["books", "every"], "s"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tapedeck.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(Some(&path), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn layers_lie_over_each_other() {
        let file = "[exchange]\nurl = \"ws://file\"\nread_coalesce = \"1ms\"\nreaders = 2\n";
        let old = ("DERIBIT_WS_URL", "ws://old");
        assert_eq!(config(file, &[]).unwrap().exchange.url, "ws://file");
        assert_eq!(config(file, &[old]).unwrap().exchange.url, "ws://old");
        let new = ("TAPEDECK_EXCHANGE__URL", "ws://new");
        let config = config(file, &[old, new, ("TAPEDECK_EXCHANGE__READERS", "4")]).unwrap();
        assert_eq!(config.exchange.url, "ws://new");
        assert_eq!(config.exchange.readers.count(), 4);
        assert_eq!(config.exchange.read_coalesce, Duration::from_millis(1));
    }

    #[test]
    fn the_predecessors_interval_is_in_seconds() {
        let old = ("SNAPSHOT_INTERVAL_SEC", "60");
        assert_eq!(config("", &[]).unwrap().books.every, Duration::from_secs(300));
        assert_eq!(config("", &[old]).unwrap().books.every, Duration::from_secs(60));
    }

    #[track_caller]
    fn refused(file: &str, words: &[&str]) {
        let error = config(file, &[]).unwrap_err();
        assert_eq!(error.lines().count(), 1, "{error}");
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("[exchange]\nurll = \"x\"\n", &["urll", "tapedeck.toml"]);
        refused("[exchange]\nurl = 3\n", &["tapedeck.toml", "string"]);
        refused("[exchange\n", &["not TOML", "line 1"]);
        refused("[exchange]\nread_coalesce = \"1s\"\n", &["read_coalesce", "10ms"]);
        refused("[books]\nevery = \"5s\"\n", &["books.every", "10s"]);
        refused("[books]\ndepth = 50\n", &["books.depth", "20"]);
        refused("[exchange]\nreaders = 0\n", &["readers"]);
        refused("[exchange]\nread_coalesce = \"soon\"\n", &["soon", "20s"]);
    }
}
