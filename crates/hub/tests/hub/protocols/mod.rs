//! Other people's protocols: the examples of their documents, request by request, and all of them together.

mod support;

mod anything;
mod auraflow;
mod booky;
mod events;
mod google;
mod insight;
mod limits;
mod login;
mod nested;
mod nuqta;
mod together;
