//! Reload: what changed is built whole beside what serves, then takes its place; or it does not, and the author hears why.

use super::settings::Settings;
use crate::deployment::folder;
use crate::deployment::walk::Stamp;
use crate::deployment::watch::{Answer, Change, WatchOptions, Watcher};
use crate::deployment::{self, Deployment, LoadOptions, Loaded};
use crate::text::Diagnostic;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What is reloaded, and how.
pub struct Reload {
    pub roots: Vec<PathBuf>,
    pub options: LoadOptions,
    pub settings: Settings,
    /// Take effect at the next start only.
    pub settings_files: Vec<PathBuf>,
}

/// What a reload acts on.
pub trait Target: Send {
    /// Requests that start from now on see this deployment.
    fn swap(&mut self, deployment: Arc<Deployment>);
    /// The certificate is read anew; on failure the old one stays.
    fn reload_certificates(&mut self) -> Result<(), String>;
    fn tell(&mut self, outcome: Outcome<'_>);
}

/// What came of a change.
pub enum Outcome<'a> {
    Swapped {
        loaded: &'a Loaded,
        took: Duration,
        change: &'a Change,
    },
    /// The last good deployment keeps serving.
    Kept(&'a Loaded),
    CertificateKept(String),
    SettingsChanged(&'a PathBuf),
}

/// How reloading goes, for health and metrics.
#[derive(Debug, Default)]
pub struct Status {
    inner: Mutex<StatusNow>,
}

#[derive(Debug, Clone, Default)]
pub struct StatusNow {
    pub generation: u64,
    pub last_success: Option<SystemTime>,
    pub failures: u64,
    /// What keeps the newest files from being served, if anything.
    pub refused: Vec<Diagnostic>,
}

impl Status {
    pub fn now(&self) -> StatusNow {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut StatusNow)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn succeeded(&self, generation: u64) {
        self.change(|now| {
            now.generation = generation;
            now.last_success = Some(SystemTime::now());
            now.refused.clear();
        });
    }

    fn failed(&self, loaded: &Loaded) {
        self.change(|now| {
            now.failures += 1;
            now.refused = loaded.mistakes.iter().cloned().collect();
        });
    }
}

impl Reload {
    /// Files beside the folders that matter: the env file and the certificate.
    pub fn extra_files(&self) -> Vec<PathBuf> {
        let mut files = folder::extra_files(&self.roots, &self.options.read);
        if let Some(tls) = &self.settings.tls {
            files.extend([tls.certificate.clone(), tls.key.clone()]);
        }
        files.extend(self.settings.key_files());
        files.extend(self.settings_files.iter().cloned());
        files
    }

    /// Call this before the first load: what changes while that runs is noticed then.
    pub fn stamp(&self) -> Stamp {
        Stamp::of(&self.roots, &self.extra_files())
    }

    /// Watches, if the settings say so; acts when asked in any case.
    pub fn start(
        self,
        known: Stamp,
        status: Arc<Status>,
        target: impl Target + 'static,
    ) -> std::io::Result<Watcher> {
        let options = WatchOptions {
            extra_files: self.extra_files(),
            known: Some(known),
            poll: self.settings.watch_poll,
            only_when_asked: !self.settings.watch,
            ..WatchOptions::default()
        };
        let settings_stamp = Stamp::of(&[], &self.settings_files);
        let mut acting = Acting {
            reload: self,
            status,
            target,
            told: Vec::new(),
            settings_stamp,
        };
        Watcher::start(acting.reload.roots.clone(), options, move |change| {
            acting.act(&change)
        })
    }
}

struct Acting<T> {
    reload: Reload,
    status: Arc<Status>,
    target: T,
    /// The mistakes that were told last, so that a repeated attempt does not tell them again.
    told: Vec<Diagnostic>,
    settings_stamp: Stamp,
}

impl<T: Target> Acting<T> {
    fn act(&mut self, change: &Change) -> Answer {
        self.look_at_settings();
        let settings = &self.reload.settings;
        if (settings.tls.is_some() || !settings.key_files().is_empty())
            && let Err(reason) = self.target.reload_certificates()
        {
            self.target.tell(Outcome::CertificateKept(reason));
        }
        let start = Instant::now();
        let generation = self.status.now().generation + 1;
        let options = LoadOptions {
            generation,
            ..self.reload.options.clone()
        };
        let loaded = deployment::load(&self.reload.roots, &options);
        match &loaded.deployment {
            Some(deployment) => {
                self.target.swap(Arc::clone(deployment));
                self.status.succeeded(generation);
                self.told.clear();
                self.target.tell(Outcome::Swapped {
                    loaded: &loaded,
                    took: start.elapsed(),
                    change,
                });
                Answer::Done
            }
            None => {
                self.status.failed(&loaded);
                let mistakes: Vec<Diagnostic> = loaded.mistakes.iter().cloned().collect();
                if !change.is_retry || mistakes != self.told {
                    self.target.tell(Outcome::Kept(&loaded));
                }
                // Files that cannot be read may be readable soon; files that are wrong stay wrong.
                let may_pass = mistakes.iter().any(|mistake| mistake.code == "E0100");
                self.told = mistakes;
                if may_pass { Answer::Retry } else { Answer::Done }
            }
        }
    }

    fn look_at_settings(&mut self) {
        let stamp = Stamp::of(&[], &self.reload.settings_files);
        if stamp != self.settings_stamp {
            self.settings_stamp = stamp;
            for file in &self.reload.settings_files {
                self.target.tell(Outcome::SettingsChanged(file));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Layer, load};
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Recorder(Sender<String>);

    impl Target for Recorder {
        fn swap(&mut self, deployment: Arc<Deployment>) {
            self.0.send(format!("swap {}", deployment.generation)).ok();
        }

        fn reload_certificates(&mut self) -> Result<(), String> {
            Err("broken".to_owned())
        }

        fn tell(&mut self, outcome: Outcome<'_>) {
            let text = match outcome {
                Outcome::Swapped { loaded, .. } => format!("swapped {}", loaded.counts.sequences),
                Outcome::Kept(loaded) => format!("kept {}", loaded.mistakes.errors()),
                Outcome::CertificateKept(reason) => format!("certificate {reason}"),
                Outcome::SettingsChanged(file) => file.file_name().unwrap().to_string_lossy().into_owned(),
            };
            self.0.send(text).ok();
        }
    }

    fn sequence(inner: &str) -> String {
        format!("<sequence xmlns=\"http://ws.apache.org/ns/synapse\" name=\"a\">{inner}</sequence>")
    }

    #[test]
    fn a_broken_save_keeps_what_serves_and_a_good_one_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.xml");
        std::fs::write(&file, sequence("")).unwrap();
        let roots = vec![folder.path().to_path_buf()];
        let settings = load(folder.path(), Layer::default(), None, &Default::default()).settings;
        let options = settings.load_options(Default::default());
        let reload = Reload {
            roots: roots.clone(),
            options: options.clone(),
            settings,
            settings_files: vec![folder.path().join("myelin.toml")],
        };
        let known = reload.stamp();
        assert!(deployment::load(&roots, &options).deployment.is_some());
        let status = Arc::new(Status::default());
        status.succeeded(1);
        let (sender, told) = channel();
        let watcher = reload
            .start(known, Arc::clone(&status), Recorder(sender))
            .unwrap();
        let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();

        std::fs::write(&file, sequence("<unknown-step/>")).unwrap();
        assert_eq!(next(), "kept 1");
        assert_eq!((status.now().failures, status.now().refused.len()), (1, 1));

        std::fs::write(&file, sequence("<description/>")).unwrap();
        assert_eq!(next(), "swap 2");
        assert_eq!(next(), "swapped 1");
        assert!(status.now().refused.is_empty());

        std::fs::write(folder.path().join("myelin.toml"), "# changed").unwrap();
        assert_eq!(next(), "myelin.toml");
        assert_eq!(next(), "swap 3");
        assert_eq!(next(), "swapped 1");

        watcher.trigger().now();
        assert_eq!(next(), "swap 4");
        watcher.stop();
    }
}
