<?php

require __DIR__ . "/../vendor/autoload.php";

echo Greet\Words::WORDS . " PHP " . PHP_VERSION . " " . getenv("STAGE");
