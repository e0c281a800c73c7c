-- +goose Up

-- The claims parameter of OpenID Connect Core section 5.5, NULL for none.
ALTER TABLE grants ADD COLUMN claims jsonb;
