//! A few connections that only read, beside the writer.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use crate::database::error::DatabaseError;

/// Lends each connection to one read at a time.
#[derive(Clone)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { permits: Arc::new(Semaphore::new(connections.len())), idle: Arc::new(Mutex::new(connections)) }
    }

    /// Runs work on one snapshot of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| DatabaseError::BrokenOff)?;
        let readers = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut lent = readers.lend();
            let connection = lent.connection.as_mut().ok_or(DatabaseError::BrokenOff)?;
            let result = work(&connection.transaction()?)?;
            drop(lent);
            drop(permit);
            Ok(result)
        });
        task.await.map_err(|_| DatabaseError::BrokenOff)?
    }

    fn lend(&self) -> Lent {
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { readers: self.clone(), connection }
    }
}

/// A lent connection; it goes back even when the work panics.
struct Lent {
    readers: Readers,
    connection: Option<Connection>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
