import Config


