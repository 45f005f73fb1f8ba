CREATE TABLE owners (owner text PRIMARY KEY, change bigint);
CREATE TABLE notes (id bigserial, owner text, name text, type text, write text, fields text, blob bytea,
    deleted boolean, change bigint, PRIMARY KEY (owner, name));
CREATE TABLE keys (owner text, key text, PRIMARY KEY (owner, key));
