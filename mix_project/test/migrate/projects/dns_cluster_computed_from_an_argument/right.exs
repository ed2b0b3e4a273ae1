[cases: [{%{}, []}], lost: 1, says: ["the argument args", "lib/shop/application.ex:8", "{Rendez, via: ..., dns_name: ...}"]]
