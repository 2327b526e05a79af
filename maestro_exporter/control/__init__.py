"""`maestro-exporter-service`: starts and stops the exporter as a daemon, as init scripts do."""
