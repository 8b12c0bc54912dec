//! Functions, and what ruff's rules do not ask of each of them: it passes over private, nested and overriding ones.

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{Expr, Parameter, Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange, TextSize};

/// A place that lacks something.
#[derive(Debug)]
pub(crate) struct Lack {
    pub(crate) rule: &'static str,
    pub(crate) range: TextRange,
    pub(crate) message: String,
}

/// All functions of a file.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// From the first decorator to the last statement.
    pub(crate) ranges: Vec<TextRange>,
    pub(crate) lacks: Vec<Lack>,
    in_class: bool,
}

impl Functions {
    pub(crate) fn of(suite: &[Stmt]) -> Self {
        let mut functions = Self::default();
        functions.visit_body(suite);
        functions
    }

    /// The function that a place is in.
    pub(crate) fn innermost(&self, at: TextSize) -> Option<TextRange> {
        // In the order of the file: the last one that begins before it and holds it is the innermost.
        let begun = self.ranges.partition_point(|range| range.start() <= at);
        self.ranges[..begun].iter().rev().copied().find(|range| range.contains(at))
    }

    fn note(&mut self, function: &StmtFunctionDef) {
        self.ranges.push(function.range());
        self.note_hints(function);
        if !has_docstring(&function.body) && !is_overload(function) {
            let name = function.name.as_str();
            let rule = match (name, self.in_class) {
                ("__init__", true) => "D107",
                (name, true) if name.starts_with("__") && name.ends_with("__") => "D105",
                (_, true) => "D102",
                (_, false) => "D103",
            };
            let message = format!("Missing docstring in function `{name}`");
            self.lacks.push(Lack { rule, range: function.name.range(), message });
        }
    }

    fn note_hints(&mut self, function: &StmtFunctionDef) {
        let name = function.name.as_str();
        let parameters = &function.parameters;
        let bound = usize::from(self.in_class && !is_decorated(function, "staticmethod"));
        let positional = parameters.posonlyargs.iter().chain(&parameters.args).skip(bound);
        for parameter in positional.chain(&parameters.kwonlyargs) {
            self.note_hint("ANN001", &parameter.parameter, name);
        }
        if let Some(parameter) = &parameters.vararg {
            self.note_hint("ANN002", parameter, name);
        }
        if let Some(parameter) = &parameters.kwarg {
            self.note_hint("ANN003", parameter, name);
        }
        if function.returns.is_none() {
            let rule = if name.starts_with('_') { "ANN202" } else { "ANN201" };
            let message = format!("Missing return type annotation for function `{name}`");
            self.lacks.push(Lack { rule, range: function.name.range(), message });
        }
    }

    fn note_hint(&mut self, rule: &'static str, parameter: &Parameter, function: &str) {
        if parameter.annotation.is_none() {
            let message = format!("Missing type annotation for argument `{}` of `{function}`", parameter.name);
            self.lacks.push(Lack { rule, range: parameter.range(), message });
        }
    }
}

impl<'a> Visitor<'a> for Functions {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let in_class = match stmt {
            Stmt::FunctionDef(function) => {
                self.note(function);
                false
            }
            Stmt::ClassDef(_) => true,
            _ => self.in_class,
        };
        let outside = std::mem::replace(&mut self.in_class, in_class);
        walk_stmt(self, stmt);
        self.in_class = outside;
    }
}

/// A text that says something.
fn has_docstring(body: &[Stmt]) -> bool {
    let Some(Stmt::Expr(first)) = body.first() else { return false };
    matches!(first.value.as_ref(), Expr::StringLiteral(text) if !text.value.to_str().trim().is_empty())
}

/// A signature without a body of its own, whose function follows it. Only where there is nothing to describe.
fn is_overload(function: &StmtFunctionDef) -> bool {
    let empty = |stmt: &Stmt| match stmt {
        Stmt::Pass(_) => true,
        Stmt::Expr(expr) => matches!(expr.value.as_ref(), Expr::EllipsisLiteral(_)),
        _ => false,
    };
    function.body.iter().all(empty) && is_decorated(function, "overload")
}

fn is_decorated(function: &StmtFunctionDef, wanted: &str) -> bool {
    function.decorator_list.iter().any(|decorator| match &decorator.expression {
        Expr::Name(name) => name.id.as_str() == wanted,
        Expr::Attribute(attribute) => attribute.attr.as_str() == wanted,
        _ => false,
    })
}
