//! The end of the service.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Request;
use rusqlite::Connection;

use crate::service::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_loses_no_line_of_the_log() {
    const CLIENTS: u32 = 8;
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let service =
        Service::start(|settings| settings.guard.quota = "1000000/s".parse().unwrap()).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let requests: Vec<_> = (0..200)
            .map(|n| {
                let item = n * CLIENTS + client;
                let request = Request::get("/").header("x-forwarded-for", "203.0.113.7");
                (item, service.send(&format!("/api/items/{item}"), request, ""))
            })
            .collect();
        clients.spawn(async move {
            let mut answered = Vec::new();
            for (item, request) in requests {
                // No answer: the server has ended.
                let Some(response) = request.await else { break };
                assert_eq!(response.status, 200);
                answered.push(item);
                ANSWERED.fetch_add(1, Ordering::Relaxed);
            }
            answered
        });
    }
    while ANSWERED.load(Ordering::Relaxed) < 100 {
        tokio::task::yield_now().await;
    }
    let written = service.server.shutdown().await.unwrap();
    let answered = clients.join_all().await.concat();

    let log = Connection::open(service.folder.path().join("access.db")).unwrap();
    let rows = |like: &str| -> u64 {
        let sql = "SELECT count(*) FROM access WHERE request LIKE ?1";
        log.query_row(sql, [like], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    assert_eq!(rows("%"), written);
    for item in answered {
        assert_eq!(rows(&format!("GET /api/items/{item}")), 1, "item {item}");
    }
}
