//! Who may manage: the token, sessions that were opened with it, and what becomes of those who guess.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The name that goes with the token where a name is asked for.
pub const USER: &str = "admin";

/// As the Micro Integrator's tokens.
pub const SESSION: Duration = Duration::from_secs(3600);

const SESSIONS: usize = 256;
const WRONG_TRIES: usize = 10;
const WITHIN: Duration = Duration::from_secs(60);
/// No more addresses are watched than this.
const ADDRESSES: usize = 1024;

/// Decides who may manage. Secrets are kept and compared as hashes, so that the time it takes says nothing.
#[derive(Debug)]
pub struct Keeper {
    /// `None`: nobody knows a token, so nobody comes in.
    token: Option<Hash>,
    sessions: Mutex<Vec<(Hash, Instant)>>,
    wrong: Mutex<HashMap<IpAddr, Vec<Instant>>>,
}

type Hash = [u8; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Unknown,
    /// Too many wrong tries; the next one counts after this time.
    TooMany(Duration),
}

impl Keeper {
    pub fn new(token: Option<&str>) -> Keeper {
        Keeper {
            token: token.map(hash),
            sessions: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Looks at an `Authorization` header: `Bearer` with the token or a session's, or `Basic` with `admin` and the token.
    pub fn admit(
        &self,
        authorization: Option<&str>,
        from: IpAddr,
        now: Instant,
    ) -> std::result::Result<(), Refused> {
        if let Some(wait) = self.wait(from, now) {
            return Err(Refused::TooMany(wait));
        }
        let Some(authorization) = authorization else {
            // Who says nothing does not guess.
            return Err(Refused::Unknown);
        };
        if self.knows(authorization, now) {
            return Ok(());
        }
        self.note_wrong(from, now);
        Err(Refused::Unknown)
    }

    /// A token that is good for an hour.
    pub fn open_session(&self, now: Instant) -> Result<String> {
        let token = make()?;
        let mut sessions = lock(&self.sessions);
        sessions.retain(|(_, ends)| *ends > now);
        if sessions.len() >= SESSIONS {
            sessions.remove(0);
        }
        sessions.push((hash(&token), now + SESSION));
        Ok(token)
    }

    /// The session of this `Authorization` header is over.
    pub fn close_session(&self, authorization: &str) {
        if let Some(("bearer", token)) = scheme(authorization) {
            let token = hash(token);
            lock(&self.sessions).retain(|(known, _)| !same(known, &token));
        }
    }

    fn knows(&self, authorization: &str, now: Instant) -> bool {
        let is_token = |text: &str| self.token.is_some_and(|token| same(&token, &hash(text)));
        match scheme(authorization) {
            Some(("bearer", token)) => {
                let own = is_token(token);
                let token = hash(token);
                let sessions = lock(&self.sessions);
                let live = sessions.iter().fold(false, |found, (known, ends)| {
                    found | (same(known, &token) & (*ends > now))
                });
                own | live
            }
            Some(("basic", encoded)) => {
                let decoded = STANDARD
                    .decode(encoded)
                    .or_else(|_| STANDARD_NO_PAD.decode(encoded))
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok());
                let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
                    return false;
                };
                is_token(password) & same(&hash(user), &hash(USER))
            }
            _ => false,
        }
    }

    fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let mut wrong = lock(&self.wrong);
        let tries = wrong.get_mut(&from)?;
        tries.retain(|at| now.saturating_duration_since(*at) < WITHIN);
        let first = *tries.first()?;
        (tries.len() >= WRONG_TRIES).then(|| WITHIN.saturating_sub(now.saturating_duration_since(first)))
    }

    fn note_wrong(&self, from: IpAddr, now: Instant) {
        let mut wrong = lock(&self.wrong);
        if wrong.len() >= ADDRESSES {
            wrong.retain(|_, tries| {
                tries
                    .last()
                    .is_some_and(|last| now.saturating_duration_since(*last) < WITHIN)
            });
        }
        if wrong.len() >= ADDRESSES
            && let Some(oldest) = wrong
                .iter()
                .min_by_key(|(_, tries)| tries.last().copied())
                .map(|(address, _)| *address)
        {
            wrong.remove(&oldest);
        }
        let tries = wrong.entry(from).or_default();
        tries.push(now);
        if tries.len() == WRONG_TRIES {
            tracing::warn!(%from, "Too many wrong tries to manage: refused for a minute.");
        }
    }
}

/// The scheme in small letters, and what follows it.
fn scheme(authorization: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    let known = ["bearer", "basic"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))?;
    Some((known, rest.trim()))
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

fn same(one: &Hash, other: &Hash) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |difference, (one, other)| difference | (one ^ other));
    std::hint::black_box(difference) == 0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// Tokens and where they are kept

/// 256 random bits.
pub fn make() -> Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Where the token of the gateway with this management port is kept: a place that only its user reads.
pub fn place(port: u16) -> PathBuf {
    folder(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)).join(format!("{port}.token"))
}

fn folder(runtime: Option<PathBuf>) -> PathBuf {
    match runtime.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(runtime) => runtime.join("myelin"),
        None => PathBuf::from(format!("/tmp/myelin-{}", own_user())),
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Writes a token where its user's commands find it.
pub fn keep(token: &str, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Err(error) = DirBuilder::new().mode(0o700).create(folder)
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    check_own(folder, true)?;
    // Renamed into its place: nobody finds half of it, and what stood there need not be opened.
    let new = path.with_extension(format!("token.{}", std::process::id()));
    fs::remove_file(&new).ok();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    fs::rename(&new, path)
}

/// The token that was kept there, if nobody else could have put it there.
pub fn kept(path: &Path) -> Result<String> {
    check_own(path.parent().unwrap_or(Path::new("/")), true)?;
    check_own(path, false)?;
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Forgets a token that nobody needs any more, unless another gateway has put its own there.
pub fn forget(token: &str, path: &Path) {
    if kept(path).is_ok_and(|known| known == token) {
        fs::remove_file(path).ok();
    }
}

/// A link, or something that others own or may change, is not to be trusted: /tmp is everybody's.
fn check_own(path: &Path, is_folder: bool) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    let kind = if is_folder {
        found.is_dir()
    } else {
        found.is_file()
    };
    if kind && found.uid() == own_user() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        format!("{} is open to others, or not this user's", path.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn check(keeper: &Keeper, authorization: &str, expected: bool) {
        let admitted = keeper.admit(Some(authorization), HERE, Instant::now());
        assert_eq!(admitted.is_ok(), expected, "{authorization}: {admitted:?}");
    }

    #[test]
    fn the_token_opens_as_bearer_and_as_a_password() {
        let keeper = Keeper::new(Some("right"));
        check(&keeper, "Bearer right", true);
        check(&keeper, "bearer  right ", true);
        check(&keeper, &basic("admin:right"), true);
        for wrong in [
            "Bearer wrong",
            "Bearer ",
            "right",
            "Basic right",
            "Digest right",
            &basic("root:right"),
            &basic("admin:"),
        ] {
            check(&keeper, wrong, false);
        }
        let nobody = Keeper::new(None);
        check(&nobody, "Bearer ", false);
        check(&nobody, &basic("admin:"), false);
    }

    #[test]
    fn a_session_ends_after_its_hour_or_when_it_is_closed() {
        let keeper = Keeper::new(Some("right"));
        let now = Instant::now();
        let session = format!("Bearer {}", keeper.open_session(now).unwrap());
        assert_eq!(keeper.admit(Some(&session), HERE, now), Ok(()));
        let late = now + SESSION;
        assert_eq!(keeper.admit(Some(&session), HERE, late), Err(Refused::Unknown));
        keeper.close_session(&session);
        assert_eq!(keeper.admit(Some(&session), HERE, now), Err(Refused::Unknown));
    }

    #[test]
    fn ten_wrong_tries_a_minute_are_enough() {
        let keeper = Keeper::new(Some("right"));
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(
                keeper.admit(Some("Bearer wrong"), HERE, now),
                Err(Refused::Unknown)
            );
        }
        let second = now + Duration::from_secs(20);
        let wait = Refused::TooMany(Duration::from_secs(40));
        assert_eq!(keeper.admit(Some("Bearer right"), HERE, second), Err(wait));
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(keeper.admit(Some("Bearer right"), other, second), Ok(()));
        assert_eq!(keeper.admit(Some("Bearer right"), HERE, now + WITHIN), Ok(()));
        for _ in 0..100 {
            assert_eq!(keeper.admit(None, other, now), Err(Refused::Unknown));
        }
    }

    #[test]
    fn a_token_is_kept_where_nobody_else_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(Some(home.path().to_path_buf()));
        assert_eq!(folder, home.path().join("myelin"));
        let path = folder.join("9164.token");
        keep("first", &path).unwrap();
        keep("second", &path).unwrap();
        assert_eq!(kept(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        forget("first", &path);
        assert!(path.exists());
        forget("second", &path);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_others_may_change_is_not_trusted() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(keep("t", &open.join("1.token")).is_err());
        let real = home.path().join("real");
        DirBuilder::new().mode(0o700).create(&real).unwrap();
        symlink(&real, home.path().join("link")).unwrap();
        assert!(keep("t", &home.path().join("link/1.token")).is_err());
        assert_ne!(make().unwrap(), make().unwrap());
        assert!(folder(Some(PathBuf::from("relative"))).starts_with("/tmp"));
    }
}
