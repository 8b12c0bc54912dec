//! The OpenAPI document: made from the handlers, completed with what they have in common.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{FieldError, ProblemBody};

const SCHEME: &str = "bearer";

/// What stands before the routes.
pub(super) fn head() -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Juggernaut")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Create, watch and stop tasks. Every error is an RFC 9457 problem document."))
                .build(),
        )
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .build()
}

/// Adds what every operation has: a problem document for any error, and the token.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components
        .security_schemes
        .insert(SCHEME.to_owned(), SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)).into());
    for (name, schema) in [(ProblemBody::name(), ProblemBody::schema()), (FieldError::name(), FieldError::schema())] {
        components.schemas.insert(name.into_owned(), schema);
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let schema = Ref::from_schema_name(ProblemBody::name());
        let content = ContentBuilder::new().schema(Some(RefOr::Ref(schema))).build();
        let response =
            ResponseBuilder::new().description("A problem").content("application/problem+json", content).build();
        operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

pub(super) fn render(document: OpenApi) -> String {
    complete(document).to_json().unwrap_or_default()
}

pub(super) fn serve(document: &str) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.to_owned()).into_response()
}
