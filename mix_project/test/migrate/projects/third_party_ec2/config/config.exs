import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: ClusterEC2.Strategy.Tags,
      config: [ec2_tagname: "cluster", app_prefix: "shop", aws_secret: "hush-aws"]
    ]
  ]
