//! Wire types, problems, the OpenAPI document, typed client.
