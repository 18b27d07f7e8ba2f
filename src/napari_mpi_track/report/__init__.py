"""Tables, figures and the page; running a whole study."""
