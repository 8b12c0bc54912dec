//! What is found in SQL, and what is let through.

use super::look;

#[test]
fn what_deletes_data_is_found_however_it_is_written() {
    for sql in [
        "DROP TABLE users",
        "drop\n\ttable if exists users cascade;",
        "DROP/* */TABLE users",
        "-- nothing\nDrOp -- x\n TaBlE users",
        "select 1; truncate users",
        "TRUNCATE TABLE only users",
        "delete from users",
        "DELETE FROM users WHERE true",
        "delete from users where 1=1",
        "delete from users where not (1 = 2) returning *",
        "delete from users using (select id from x where y) z",
        "with gone as (delete from users returning *) select * from gone where id = 1",
        "alter table users drop column email",
        "alter table users drop email",
        "alter table users add x int, drop if exists email",
        "drop schema public cascade",
        "drop owned by app",
        "do $$ begin drop table users; end $$",
        "do $$ begin execute 'drop table users'; end $$",
        "create function f() returns void language plpgsql as $f$ begin delete from users; end $f$",
        "/*!50000 DROP TABLE users */",
        "drop table `users`",
        "'unfinished DROP TABLE users",
        "\u{feff}drop table users",
        // Bodies and statements that are strings.
        "DO 'begin drop table users; end'",
        "do language plpgsql 'begin drop table users; end'",
        "do $$ begin do 'begin drop table users; end'; end $$",
        "create function f() returns void language plpgsql as 'begin delete from users; end'",
        "create or replace procedure f() language sql as E'drop table users'",
        "create function f() returns void language plpgsql as 'begin dro'\n'p table users; end'",
        "do $$ declare q text := 'drop table users'; begin execute q; end $$",
        "do $$ begin execute 'dr' 'op table users'; end $$",
        "select dblink_exec('host=x', 'drop table users')",
        "EXEC sp_executesql N'drop table users'",
        "SET @s = 'DROP TABLE users'; PREPARE x FROM @s; EXECUTE x",
        "PREPARE s FROM \"DROP TABLE users\"",
        "do $$ begin alter table users drop email; end $$",
        "create procedure p() begin delete u from users u; end",
        // What one database reads as a comment or a string, another one runs.
        "select 5--1; drop table users",
        "select '\\''; drop table users; -- '",
        "/* /* */ drop table users; -- */",
        "select [a'b] from x; drop table users; select [c'd] from x",
        "select 5--1; drop table users; -- '",
    ] {
        assert!(!look(sql).destructive.is_empty(), "{sql}");
    }
}

#[test]
fn hostile_sql_is_read_in_moments() {
    let began = std::time::Instant::now();
    for (repeated, tail) in [
        ("delete from a ", "where x = 1"),
        ("delete from a;", ""),
        ("drop type t ", "cascade"),
        ("execute '", ""),
        ("$a$ $b$ ", ""),
        ("/*! ", ""),
        ("((((", ""),
        ("'", ""),
        ("-- x\n", ""),
        ("with x as (delete from a where b = 1) ", ""),
    ] {
        look(&format!("{}{tail}", repeated.repeat((1 << 20) / repeated.len())));
    }
    assert!(began.elapsed() < std::time::Duration::from_mins(2), "{:?}", began.elapsed());
}

#[test]
fn what_deletes_nothing_is_let_through() {
    for sql in [
        "create table dropped (truncate_at int)",
        "select 'drop table users'",
        "-- drop table users",
        "/* truncate users */ select 1",
        "comment on table users is 'delete from users'",
        "alter table users drop constraint users_check",
        "alter table users alter column email drop not null",
        "drop index users_email",
        "drop view active_users",
        "select truncate(1.5, 0)",
        "delete from users where id = 1",
        "grant select, delete on users to app",
        "create table a (b int references c on delete cascade)",
        "create trigger t after delete on a execute function f()",
        "create trigger t before insert or delete or truncate on a execute procedure s.f()",
        "grant execute on function f() to app",
        "grant select, truncate, delete on a to app",
        "grant alter, drop on a to app",
        "create policy p on a for delete to app",
        "do $$ begin raise notice 'drop table users'; end $$",
        "do $$ begin execute 'create table a (b int)'; end $$",
        "insert into a (b) values (1) on conflict do nothing; select 'drop table users'",
    ] {
        assert_eq!(look(sql).destructive, Vec::<String>::new(), "{sql}");
    }
}

#[test]
fn what_changes_rows_is_found_in_bodies_too() {
    for sql in [
        "delete from users where id = 1",
        "update users set a = 1",
        "do $$ begin update users set admin = true; end $$",
        "do 'begin update users set admin = true; end'",
        "do $$ begin if x then insert into a values (1); end if; end $$",
        "create procedure p() begin update users set admin = true; end",
        "create function f() returns void language sql as 'update users set a = 1'",
        "prepare p as update users set a = 1",
        "replace into a values (1)",
        "explain analyze update users set a = 1",
    ] {
        assert!(look(sql).changes_rows, "{sql}");
    }
    for sql in [
        "create table a (b int references c on update cascade on delete cascade)",
        "create trigger t before insert or update of b on a execute function f()",
        "grant insert, update on a to app",
        "do $$ begin perform 1 from a for update; perform 1 from a for no key update; end $$",
        "create policy p on a for update to app",
    ] {
        assert!(!look(sql).changes_rows, "{sql}");
    }
}

#[test]
fn what_is_put_together_at_run_time_can_not_be_read() {
    for sql in [
        "do $$ begin execute 'dr' || 'op table users'; end $$",
        "do $$ begin execute q; end $$",
        "do $$ begin execute format('%s table users', 'drop'); end $$",
        "do $$ begin execute 'dr' operator(pg_catalog.||) 'op table users'; end $$",
        "do $$ declare function text; begin execute function; end $$",
        "execute immediate @q",
        "PREPARE x FROM @s",
        "exec(@q)",
        "execute U&'dr!006Fp table users' uescape '!'",
        "select 'drop table users' \\gexec",
        "copy a from program 'psql'",
    ] {
        assert!(look(sql).unreadable, "{sql}");
    }
    for sql in [
        "create trigger t after update on a for each row execute function f()",
        "grant execute on function f() to app",
        "revoke execute on all functions in schema a from app",
        "do $$ begin execute 'create table a (b int)' using x; end $$",
        "prepare p as select 1",
        "select E'it\\'s'; select 'C:\\'",
        "select '{1}'::int[]; select array['a', 'b']",
        "create function f() returns int language sql as $$ select 1 -- it's one $$",
    ] {
        assert!(!look(sql).unreadable, "{sql}");
    }
}
