-- +goose Up

-- What accounts say beyond the standard claims, by the operator's schema.
ALTER TABLE users ADD COLUMN attributes jsonb;

-- The person's own picture, see user_pictures.
ALTER TABLE users ADD COLUMN picture_id uuid;

-- Pictures that people uploaded. The identifier is random, and another one for
-- another picture: it is the address.
CREATE TABLE user_pictures (
    picture_id   uuid        NOT NULL,
    user_id      text        NOT NULL,
    content_type text        NOT NULL,
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT user_pictures_pkey PRIMARY KEY (picture_id),
    CONSTRAINT user_pictures_user_id_key UNIQUE (user_id),
    CONSTRAINT user_pictures_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
