-- +goose Up

-- What somebody asked for a link with, sealed under the master key. A link of
-- the kind registration has the user_id of an account that is not there before
-- the link is used.
ALTER TABLE links ADD COLUMN sealed bytea;
