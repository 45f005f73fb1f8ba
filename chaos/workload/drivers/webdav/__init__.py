"""The driver `webdav`: records as items of CardDAV and CalDAV collections."""
