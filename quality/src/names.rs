//! Keeps away what would need more memory than there is.
//!
//! The linter copies the list of all uses of a name whenever that name is bound anew, and keeps each copy: of a file
//! of some kilobytes it makes gigabytes. So uses and bindings are counted before it sees the file.

use std::collections::HashMap;

use ruff_python_ast::name::Name;
use ruff_python_ast::visitor::{
    Visitor, walk_except_handler, walk_expr, walk_parameter, walk_pattern, walk_stmt, walk_type_param,
};
use ruff_python_ast::{Alias, ExceptHandler, Expr, ExprContext, Identifier, Mod, Parameter, Pattern, Stmt, TypeParam};
use ruff_python_parser::Mode;

use crate::Report;
use crate::nesting::{Depth, STRINGS_MAX, depth, parse_text};

/// Uses × bindings of each name, in sum: this many entries of four bytes is the most that the linter copies.
const COPIES_MAX: u64 = 25_000_000;
/// `except E as name` binds it, unbinds it, and binds it again.
const HANDLER_BINDINGS: u64 = 3;

pub(crate) fn too_many() -> Report {
    let message = format!(
        "names are used and bound too often to be checked: uses × bindings of each name are more than {COPIES_MAX} in \
         sum; split the file, or use more names"
    );
    Report::whole_file("too-large", message)
}

/// Whether the linter may see these statements. All scopes count as one, which can only be too strict.
pub(crate) fn are_few(suite: &[Stmt]) -> bool {
    let mut names = Names::default();
    names.visit_body(suite);
    let copies = names.of.values().map(|counts| counts.uses.saturating_mul(counts.bindings));
    copies.fold(0, u64::saturating_add) <= COPIES_MAX
}

#[derive(Default)]
struct Counts {
    uses: u64,
    bindings: u64,
}

#[derive(Default)]
struct Names {
    of: HashMap<Name, Counts>,
    /// Strings around the place.
    level: usize,
}

impl Names {
    fn used(&mut self, name: &Name) {
        self.of.entry(name.clone()).or_default().uses += 1;
    }

    fn bound(&mut self, name: &Name, times: u64) {
        self.of.entry(name.clone()).or_default().bindings += times;
    }

    fn bound_if(&mut self, name: Option<&Identifier>) {
        if let Some(name) = name {
            self.bound(&name.id, 1);
        }
    }

    fn declared(&mut self, name: &Identifier) {
        self.used(&name.id);
        self.bound(&name.id, 1);
    }

    /// A string can be an annotation, whose names are uses.
    fn look_into(&mut self, text: &str) {
        if self.level > STRINGS_MAX || depth(text, Mode::ParenthesizedExpression) != Depth::Fine {
            return;
        }
        let Some(parsed) = parse_text(text) else { return };
        let Mod::Expression(parsed) = parsed.syntax() else { return };
        self.level += 1;
        // The expression lives shorter than the file: a visitor of its own, over the same counts.
        let mut inner = Names { of: std::mem::take(&mut self.of), level: self.level };
        inner.visit_expr(&parsed.body);
        self.of = inner.of;
        self.level -= 1;
    }
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => self.bound(&function.name.id, 1),
            Stmt::ClassDef(class) => self.bound(&class.name.id, 1),
            Stmt::Global(global) => global.names.iter().for_each(|name| self.declared(name)),
            Stmt::Nonlocal(nonlocal) => nonlocal.names.iter().for_each(|name| self.declared(name)),
            Stmt::AugAssign(assign) => {
                if let Expr::Name(target) = assign.target.as_ref() {
                    self.used(&target.id);
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => match name.ctx {
                ExprContext::Store => self.bound(&name.id, 1),
                ExprContext::Load | ExprContext::Invalid => self.used(&name.id),
                ExprContext::Del => {
                    self.used(&name.id);
                    self.bound(&name.id, 1);
                }
            },
            Expr::StringLiteral(literal) => self.look_into(literal.value.to_str()),
            _ => walk_expr(self, expr),
        }
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        // `import a.b` binds `a`.
        let whole = alias.asname.as_ref().unwrap_or(&alias.name);
        let first = whole.as_str().split('.').next().unwrap_or_default();
        self.bound(&Name::new(first), 1);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        if let Some(name) = &inner.name {
            self.bound(&name.id, HANDLER_BINDINGS);
        }
        walk_except_handler(self, handler);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.bound(&parameter.name.id, 1);
        walk_parameter(self, parameter);
    }

    fn visit_type_param(&mut self, type_param: &'a TypeParam) {
        self.bound(&type_param.name().id, 1);
        walk_type_param(self, type_param);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        match pattern {
            Pattern::MatchAs(pattern) => self.bound_if(pattern.name.as_ref()),
            Pattern::MatchStar(pattern) => self.bound_if(pattern.name.as_ref()),
            Pattern::MatchMapping(pattern) => self.bound_if(pattern.rest.as_ref()),
            _ => {}
        }
        walk_pattern(self, pattern);
    }
}
