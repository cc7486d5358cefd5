WORDS = "version one"
