//! What every Larder function shares: settings, JSON logs, embedded metrics, deadline, thaw.
