"""What flies: supervisor, core, engine. Installs and runs without ground/ and hil/."""
