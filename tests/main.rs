//! Every test that needs more than one room, in one binary so that it links once.
mod command;
mod licences;
mod readers;
mod refusal;
mod tidy;
