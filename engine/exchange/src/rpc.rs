//! JSON-RPC as the exchange speaks it: requests in, answers and errors out.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// The version that `public/test` and `public/hello` answer.
pub(crate) const VERSION: &str = "1.2.26";

/// The largest request in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 * 1024;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
}

/// An error in the exchange's numbers and words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: &'static str, data: Option<Value>) -> RpcError {
        RpcError { code, message: message.into(), data }
    }

    /// Any error, as a fault wants it.
    pub(crate) fn ordered(code: i64, message: String) -> RpcError {
        RpcError { code, message: message.into(), data: None }
    }

    pub(crate) fn maintenance() -> RpcError {
        RpcError::new(11051, "system_maintenance", None)
    }

    pub(crate) fn too_large() -> RpcError {
        RpcError::new(-32600, "request entity too large", None)
    }

    pub(crate) fn no_method() -> RpcError {
        RpcError::new(-32601, "Method not found", None)
    }

    pub(crate) fn params(param: &str, reason: &str) -> RpcError {
        let data = json!({"reason": reason, "param": param});
        RpcError::new(-32602, "Invalid params", Some(data))
    }

    pub(crate) fn too_many_requests() -> RpcError {
        RpcError::new(10028, "too_many_requests", None)
    }

    pub(crate) fn bad_request(reason: &str) -> RpcError {
        RpcError::new(11050, "bad_request", Some(json!(reason)))
    }

    pub(crate) fn invalid_credentials() -> RpcError {
        RpcError::new(13004, "invalid_credentials", None)
    }

    pub(crate) fn unauthorized() -> RpcError {
        RpcError::new(13009, "unauthorized", Some(json!({"reason": "invalid_token"})))
    }

    pub(crate) fn raw() -> RpcError {
        let message = "raw_subscriptions_not_available_for_unauthorized";
        RpcError::new(13778, message, None)
    }
}

/// Reads a request. Its id is an integer or a string, echoed with its type; without one, and
/// where none could be read, the answer has none either.
pub(crate) fn read(text: &str) -> (Option<Value>, Result<Call, RpcError>) {
    if text.len() > REQUEST_BYTES_MAX {
        return (None, Err(RpcError::too_large()));
    }
    let mut fields = match serde_json::from_str(text) {
        Err(_) => return (None, Err(RpcError::bad_request("invalid json"))),
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return (None, Err(RpcError::bad_request("invalid request"))),
    };
    let id = fields.remove("id").filter(|id| id.is_number() || id.is_string());
    let Some(Value::String(method)) = fields.remove("method") else {
        return (id, Err(RpcError::bad_request("invalid request")));
    };
    // As in the path of a REST request; clients exist that write it so.
    let method = method.strip_prefix('/').map_or_else(|| method.clone(), str::to_owned);
    let call = match fields.remove("params") {
        Some(Value::Object(params)) => Ok(Call { method, params }),
        None | Some(Value::Null) => Ok(Call { method, params: Map::new() }),
        Some(_) => Err(RpcError::params("params", "wrong format")),
    };
    (id, call)
}

/// The text of an answer. Times are µs since 1970; REST errors put `testnet` before them.
pub(crate) fn answer(
    id: Option<Value>,
    outcome: Result<Value, RpcError>,
    us_in: i64,
    us_out: i64,
    rest: bool,
) -> String {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("jsonrpc", json!("2.0"));
    if let Some(id) = id {
        put("id", id);
    }
    let testnet_first = rest && outcome.is_err();
    match outcome {
        Ok(result) => put("result", result),
        Err(error) => {
            let mut shape = Map::new();
            shape.insert("code".to_owned(), json!(error.code));
            if let Some(data) = error.data {
                shape.insert("data".to_owned(), data);
            }
            shape.insert("message".to_owned(), json!(error.message));
            put("error", Value::Object(shape))
        }
    };
    if testnet_first {
        put("testnet", json!(true));
    }
    put("usIn", json!(us_in));
    put("usOut", json!(us_out));
    put("usDiff", json!(us_out - us_in));
    if !testnet_first {
        put("testnet", json!(true));
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_type() {
        for (text, id) in [
            (r#"{"id":7,"method":"public/test"}"#, Some(json!(7))),
            (r#"{"id":"7","method":"public/test","params":{}}"#, Some(json!("7"))),
            (r#"{"id":8,"method":"/public/test"}"#, Some(json!(8))),
            (r#"{"method":"public/test"}"#, None),
        ] {
            let (found, call) = read(text);
            assert_eq!(found, id);
            assert_eq!(call.unwrap().method, "public/test");
        }
    }

    #[test]
    fn errors_have_the_captured_shape() {
        let error = RpcError::params("interval", "value must be >= 10");
        let text = answer(Some(json!(7)), Err(error.clone()), 5, 66, false);
        let (head, tail) = text.split_at(36);
        assert_eq!(head, r#"{"jsonrpc":"2.0","id":7,"error":{"co"#);
        let data = r#"de":-32602,"data":{"reason":"value must be >= 10","param":"interval"},"#;
        let end = r#""message":"Invalid params"},"usIn":5,"usOut":66,"usDiff":61,"testnet":true}"#;
        assert_eq!(tail, [data, end].concat());
        assert!(answer(None, Err(error), 5, 66, true).contains(r#"},"testnet":true,"usIn":5"#));
        assert_eq!(read("{oops"), (None, Err(RpcError::bad_request("invalid json"))));
        let long = format!(r#"{{"id":1,"method":"{}"}}"#, "x".repeat(REQUEST_BYTES_MAX));
        assert_eq!(read(&long), (None, Err(RpcError::too_large())));
    }
}
