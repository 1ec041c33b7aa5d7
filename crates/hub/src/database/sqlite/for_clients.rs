//! What clients of other protocols ask.

use super::{Sqlite, full, meta, queue, since, users};
use crate::database::clients::{
    ChildrenQuery, ClientWish, Full, NewUser, Part, Queued, Session, Since, SinceQuery, Undone, User, Written,
};
use crate::database::error::DatabaseError;
use crate::database::model::BatchOutcome;
use crate::key::KeyHash;

impl Sqlite {
    pub(in crate::database) async fn user_named(&self, name: &str) -> Result<Option<User>, DatabaseError> {
        let name = name.to_owned();
        self.readers.read(move |tx| users::by_name(tx, &name)).await
    }

    pub(in crate::database) async fn user_of_token(&self, hash: KeyHash) -> Result<Option<User>, DatabaseError> {
        self.readers.read(move |tx| users::by_token(tx, hash)).await
    }

    pub(in crate::database) async fn user_of_session(&self, id: &str, now_ms: i64) -> Result<Option<User>, DatabaseError> {
        let id = id.to_owned();
        self.readers.read(move |tx| users::of_session(tx, &id, now_ms)).await
    }

    pub(in crate::database) async fn user_of_google(
        &self,
        account: &str,
        name: &str,
        now_ms: i64,
    ) -> Result<Option<User>, DatabaseError> {
        let account = account.to_owned();
        let name = name.to_owned();
        self.write(move |tx| users::of_google(tx, &account, &name, now_ms)).await
    }

    pub(in crate::database) async fn users(&self) -> Result<Vec<User>, DatabaseError> {
        self.readers.read(move |tx| users::all(tx)).await
    }

    pub(in crate::database) async fn put_user(&self, wish: NewUser) -> Result<bool, DatabaseError> {
        self.write(move |tx| users::put(tx, &wish)).await
    }

    pub(in crate::database) async fn remove_user(&self, name: &str) -> Result<bool, DatabaseError> {
        let name = name.to_owned();
        self.write(move |tx| users::remove(tx, &name)).await
    }

    pub(in crate::database) async fn begin_session(&self, session: Session) -> Result<(), DatabaseError> {
        self.write(move |tx| users::begin_session(tx, &session)).await
    }

    pub(in crate::database) async fn refresh_session(
        &self,
        hash: KeyHash,
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Result<Option<(String, User)>, DatabaseError> {
        self.write(move |tx| users::refresh(tx, hash, expires_at_ms, now_ms)).await
    }

    pub(in crate::database) async fn end_session(&self, id: &str) -> Result<(), DatabaseError> {
        let id = id.to_owned();
        self.write(move |tx| users::end_session(tx, &id)).await
    }

    pub(in crate::database) async fn device_of_key(&self, hash: KeyHash) -> Result<Option<String>, DatabaseError> {
        self.readers.read(move |tx| users::device_of_key(tx, hash)).await
    }

    pub(in crate::database) async fn last_syncs(&self, limit: i64) -> Result<Vec<(String, i64)>, DatabaseError> {
        self.readers.read(move |tx| users::last_syncs(tx, limit)).await
    }

    pub(in crate::database) async fn since(&self, query: SinceQuery) -> Result<Since, DatabaseError> {
        self.readers.read(move |tx| since::read(tx, &query)).await
    }

    pub(in crate::database) async fn children(&self, query: ChildrenQuery) -> Result<Vec<Part>, DatabaseError> {
        self.readers.read(move |tx| since::children(tx, &query)).await
    }

    pub(in crate::database) async fn index_children(&self, table: &str, column: &str) -> Result<(), DatabaseError> {
        let table = table.to_owned();
        let column = column.to_owned();
        self.write(move |tx| since::index_children(tx, &table, &column)).await
    }

    pub(in crate::database) async fn queue(&self, user: &str, queued: Queued) -> Result<bool, DatabaseError> {
        let user = user.to_owned();
        self.write(move |tx| queue::add(tx, &user, &queued)).await
    }

    pub(in crate::database) async fn queued(&self, user: &str) -> Result<Vec<Queued>, DatabaseError> {
        let user = user.to_owned();
        self.readers.read(move |tx| queue::pending(tx, &user)).await
    }

    pub(in crate::database) async fn count_queued(&self, user: &str) -> Result<i64, DatabaseError> {
        let user = user.to_owned();
        self.readers.read(move |tx| queue::count(tx, &user)).await
    }

    pub(in crate::database) async fn mark_queued(&self, user: &str, ids: Vec<String>) -> Result<usize, DatabaseError> {
        let user = user.to_owned();
        self.write(move |tx| queue::mark(tx, &user, &ids)).await
    }

    pub(in crate::database) async fn clear_queued(&self, user: &str) -> Result<usize, DatabaseError> {
        let user = user.to_owned();
        self.write(move |tx| queue::clear(tx, &user)).await
    }

    pub(in crate::database) async fn store_full(&self, full: Full) -> Result<(i64, BatchOutcome), DatabaseError> {
        self.write(move |tx| full::store(tx, &full)).await
    }

    pub(in crate::database) async fn undo_full(
        &self,
        id: i64,
        device_id: Option<String>,
        now_ms: i64,
    ) -> Result<Undone, DatabaseError> {
        self.write(move |tx| full::undo(tx, id, device_id.as_deref(), now_ms)).await
    }

    pub(in crate::database) async fn device_of_client(&self, wish: ClientWish) -> Result<Option<(String, bool)>, DatabaseError> {
        let client = wish.client.clone();
        let known = self.readers.read(move |tx| users::known_device(tx, &client)).await?;
        if known.is_some() {
            return Ok(known);
        }
        self.write(move |tx| users::device_of(tx, &wish)).await
    }

    pub(in crate::database) async fn token_secret(&self) -> Result<Vec<u8>, DatabaseError> {
        if let Some(secret) = self.readers.read(|tx| meta::token_secret(tx)).await? {
            return Ok(secret);
        }
        self.write(meta::make_token_secret).await
    }

    pub(in crate::database) async fn named_rows(&self, table: &str, ids: Vec<String>) -> Result<Vec<Written>, DatabaseError> {
        let table = table.to_owned();
        self.readers.read(move |tx| since::named(tx, &table, &ids)).await
    }
}
