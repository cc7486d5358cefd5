<?php

namespace Greet;

class Words
{
    public const WORDS = "version one";
}
