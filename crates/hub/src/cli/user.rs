//! `tillsync-hub user`: who may come by other protocols.

use std::io::Read;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tillsync_core::config::Role;

use super::{Place, parse_role, print_line};
use crate::database::Terms;
use crate::password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

/// Names are for people to read.
const NAME_BYTES_MAX: usize = 200;

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Let somebody in, or change a password, a token or what a user may do.
    Add(Add),
    /// Show who is let in.
    List(Place),
    /// Let a user in no more; what it has written stays.
    Remove(Remove),
}

#[derive(Args)]
pub(super) struct Add {
    #[command(flatten)]
    place: Place,
    /// What to call the user.
    name: String,
    /// Read a password from the first line of standard input.
    #[arg(long, required_unless_present = "token")]
    password_stdin: bool,
    /// Make a token, for programs that do not log in, and show it once.
    #[arg(long)]
    token: bool,
    /// What the user's machines may do [default: register]
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Option<Role>,
    /// The only tables that they may send and fetch [default: all]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    entities: Option<Vec<String>>,
}

#[derive(Args)]
pub(super) struct Remove {
    #[command(flatten)]
    place: Place,
    /// Who.
    name: String,
}

impl UserCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(place) => list(&place).await,
            Self::Remove(Remove { place, name }) => {
                if !place.open().await?.database().remove_user(&name).await? {
                    bail!("there is no user {name:?}: `tillsync-hub user list` shows who there is");
                }
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        if self.name.trim().is_empty() || self.name.len() > NAME_BYTES_MAX {
            bail!("a name has 1 to {NAME_BYTES_MAX} bytes");
        }
        let password = if self.password_stdin { Some(read_password()?) } else { None };
        let terms = Terms { role: self.role, entities: self.entities };
        let hub = self.place.open().await?;
        match hub.put_user(&self.name, password.as_deref(), self.token, terms).await? {
            Some(token) => print_line(&token),
            None => Ok(()),
        }
    }
}

fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(PASSWORD_BYTES_MAX as u64 + 2).read_to_string(&mut text).context("the password cannot be read")?;
    let password = text.lines().next().unwrap_or_default();
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        bail!("a password has at least {PASSWORD_CHARS_MIN} characters");
    }
    Ok(password.to_owned())
}

async fn list(place: &Place) -> anyhow::Result<()> {
    for user in place.open().await?.database().users().await? {
        let how = match (user.password.is_some(), user.has_token) {
            (true, true) => "password, token",
            (true, false) => "password",
            (false, true) => "token",
            (false, false) => "Google",
        };
        let entities = user.terms.entities.map_or_else(|| "all tables".to_owned(), |entities| entities.join(","));
        print_line(&format!("{}\t{}\t{how}\t{entities}", user.name, user.terms.role.unwrap_or_default().as_str()))?;
    }
    Ok(())
}
