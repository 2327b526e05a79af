"""The Debian package: built by tools/deb, installed into a Debian that is thrown away."""
