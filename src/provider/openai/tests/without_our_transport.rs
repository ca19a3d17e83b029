//! What `async-openai` does by itself; when one of these fails, that part of `transport` can go.

use super::*;

fn bare(server: &Server) -> Client<Settings> {
    http::install_cryptography();
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    Client::build(plain, Settings { base: server.url.clone(), key: SecretString::default() })
}

async fn first(server: &Server) -> Option<Result<Event, OpenAIError>> {
    let body = json!({"stream": true});
    match bare(server).chat().create_stream_byot::<_, Event>(body).await {
        Ok(mut events) => events.next().await,
        Err(error) => Some(Err(error)),
    }
}

#[tokio::test]
async fn an_html_page_passes_for_an_empty_answer() {
    let server = Server::saying(200, "text/html", "<html><title>Router</title></html>\n").await;
    assert!(first(&server).await.is_none());
}

#[tokio::test]
async fn an_error_line_is_skipped() {
    let server =
        Server::saying(200, "text/event-stream", "error: {\"message\": \"out of memory\"}\n\n").await;
    assert!(first(&server).await.is_none());
}

#[tokio::test]
async fn the_status_of_an_error_with_a_numeric_code_is_lost() {
    let server =
        Server::saying(400, "application/json", r#"{"error":{"code":400,"message":"m","type":"t"}}"#).await;
    assert!(matches!(first(&server).await, Some(Err(OpenAIError::JSONDeserialize(..)))));
}

#[tokio::test]
async fn server_errors_are_asked_again_unseen() {
    let server = Server::saying(500, "text/plain", "broken").await;
    assert!(matches!(first(&server).await, Some(Err(OpenAIError::ApiError(_)))));
    assert!(server.asked().len() > 1, "{}", server.asked().len());
}
