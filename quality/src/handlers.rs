//! Handlers that ruff lets pass because a `raise` stands anywhere in them, be it never reached.

use ruff_python_ast::visitor::{Visitor, walk_except_handler, walk_stmt};
use ruff_python_ast::{ExceptHandler, ExceptHandlerExceptHandler, Expr, Stmt};
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::functions::Lack;

/// `except`
const EXCEPT_BYTES: u32 = 6;

pub(crate) fn lacks(suite: &[Stmt]) -> Vec<Lack> {
    let mut handlers = Handlers { lacks: Vec::new() };
    handlers.visit_body(suite);
    handlers.lacks
}

struct Handlers {
    lacks: Vec<Lack>,
}

impl<'a> Visitor<'a> for Handlers {
    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        match inner.type_.as_deref() {
            None => {
                let range = TextRange::at(inner.range.start(), TextSize::from(EXCEPT_BYTES));
                self.lacks.push(Lack { rule: "E722", range, message: "Do not use bare `except`".to_owned() });
            }
            Some(caught) => {
                if let Some((name, range)) = blind(caught).filter(|_| !raises(inner) && !logs(&inner.body)) {
                    let message = format!("Do not catch blind exception: `{name}`");
                    self.lacks.push(Lack { rule: "BLE001", range, message });
                }
            }
        }
        walk_except_handler(self, handler);
    }
}

/// The first of the classes that catch all.
fn blind(caught: &Expr) -> Option<(&str, TextRange)> {
    let name = match caught {
        Expr::Tuple(tuple) => return tuple.elts.iter().find_map(blind),
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => match attribute.value.as_ref() {
            Expr::Name(name) if name.id.as_str() == "builtins" => attribute.attr.as_str(),
            _ => return None,
        },
        _ => return None,
    };
    ["Exception", "BaseException"].contains(&name).then(|| (name, caught.range()))
}

/// It ends with raising what was caught, by itself or as a cause, and nothing leaves it before.
fn raises(handler: &ExceptHandlerExceptHandler) -> bool {
    let Some((Stmt::Raise(last), before)) = handler.body.split_last() else { return false };
    let is_caught = |expr: &Expr| {
        let Expr::Name(expr) = expr else { return false };
        handler.name.as_ref().is_some_and(|name| name.id == expr.id)
    };
    let again = match (last.exc.as_deref(), last.cause.as_deref()) {
        (None, _) => true,
        (Some(exc), cause) => is_caught(exc) || cause.is_some_and(is_caught),
    };
    let mut leaves = Leaves { in_loop: false, found: false };
    leaves.visit_body(before);
    again && !leaves.found
}

/// Statements that end a handler before its last one.
struct Leaves {
    in_loop: bool,
    found: bool,
}

impl<'a> Visitor<'a> for Leaves {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Return(_) => self.found = true,
            Stmt::Break(_) | Stmt::Continue(_) => self.found |= !self.in_loop,
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            Stmt::For(_) | Stmt::While(_) => {
                let outside = std::mem::replace(&mut self.in_loop, true);
                walk_stmt(self, stmt);
                self.in_loop = outside;
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// What ruff may take for logging the exception, where it is sure to happen; whether it is, ruff decides.
fn logs(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| {
        let Stmt::Expr(stmt) = stmt else { return false };
        let Expr::Call(call) = stmt.value.as_ref() else { return false };
        let method = match call.func.as_ref() {
            Expr::Attribute(attribute) if is_logger(&attribute.value) => attribute.attr.as_str(),
            _ => return false,
        };
        method == "exception" || call.arguments.find_keyword("exc_info").is_some()
    })
}

fn is_logger(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        Expr::Call(call) => {
            return matches!(call.func.as_ref(), Expr::Attribute(get) if get.attr.as_str() == "getLogger");
        }
        _ => return false,
    };
    name.to_ascii_lowercase().contains("log")
}
