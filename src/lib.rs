#![doc = include_str!("README.md")]

pub mod text;

pub mod message;

pub mod expression;
pub mod script;
pub mod wire;

pub mod flow;

pub mod plan;

pub mod endpoints;
pub mod mediators;

pub mod deployment;

pub mod gateway;

pub mod admin;

pub mod cli;
