//! Where the command line finds its host: the environment, or `.juggernaut/client.toml` here or above.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::names;
use super::values::{Env, service_url};

/// The file's place below a folder.
const FILE: &str = ".juggernaut/client.toml";
/// Folders that are looked at on the way up.
const PARENTS_MAX: usize = 64;

/// How the command line reaches a host.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub url: Url,
    pub token: Option<SecretString>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    url: String,
    token: Option<String>,
}

impl ClientConfig {
    /// The environment wins; the file fills in what it leaves out. A token from the file goes only to the address in
    /// the file: it was made for that host.
    pub fn find(env: Env<'_>, folder: &Path) -> anyhow::Result<Self> {
        let token = env.secret(&names::JUGGERNAUT_TOKEN)?;
        if env.text(&names::JUGGERNAUT_URL).is_some() {
            let url = env.service_url(&names::JUGGERNAUT_URL)?;
            let token = match (token, find_file(folder)) {
                (None, Some(path)) => read_file(&path)?.into_token_for(&url)?,
                (token, _) => token,
            };
            return Ok(Self { url, token });
        }
        let Some(path) = find_file(folder) else {
            return Ok(Self { url: env.service_url(&names::JUGGERNAUT_URL)?, token });
        };
        let Self { url, token: file_token } = Self::of_file(&path)?;
        Ok(Self { url, token: token.or(file_token) })
    }

    /// What one file says, whatever the environment does.
    pub fn of_file(path: &Path) -> anyhow::Result<Self> {
        let ClientFile { url, token } = read_file(path)?;
        let url = service_url(&url).map_err(|problem| anyhow::anyhow!("{}: url {problem}", path.display()))?;
        Ok(Self { url, token: token.map(SecretString::from) })
    }
}

impl ClientFile {
    fn into_token_for(self, url: &Url) -> anyhow::Result<Option<SecretString>> {
        let same = Url::parse(&self.url)?.origin() == url.origin();
        Ok(self.token.filter(|_| same).map(SecretString::from))
    }
}

fn find_file(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().take(PARENTS_MAX).map(|folder| folder.join(FILE)).find(|path| path.is_file())
}

fn read_file(path: &Path) -> anyhow::Result<ClientFile> {
    let shown = path.display();
    check_private(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| {
        anyhow::anyhow!("{shown} can not be read: {error}; set JUGGERNAUT_URL and JUGGERNAUT_TOKEN")
    })?;
    // Only the message: the parser's whole error repeats the line, and with it the token.
    toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!("{shown} is not url = \"…\" and token = \"…\": {}; correct it or remove it", error.message())
    })
}

/// The file holds a token, so nobody else may read it.
#[cfg(unix)]
fn check_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode == 0o600,
        "{} has mode {mode:04o}, so others may read the token in it; run: chmod 600 {0}",
        path.display()
    );
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> anyhow::Result<()> {
    Ok(())
}
